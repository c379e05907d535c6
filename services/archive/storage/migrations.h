#pragma once

#include "absl/status/status.h"

#include "common/log/log.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

class EventTable;

// The newest version of the schema that this release knows.
inline constexpr unsigned kSchemaVersion = 7;

// Brings the schema of database `yagura` to kSchemaVersion, one version after another; several
// processes may do so at once. A schema that is newer by one version is accepted (the release
// before this one can read it); FAILED_PRECONDITION (SCHEMA_TOO_NEW) beyond that.
absl::Status Migrate(eventstore::Client& client, const EventTable& table, const Logger& logger);

}  // namespace yagura::archive
