#pragma once

#include "absl/status/status.h"

#include "common/log/log.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

class EventTable;

// The newest version of the schema that this release knows.
inline constexpr unsigned kSchemaVersion = 11;

// Brings the schema of database `yagura` to kSchemaVersion, one version after another; several
// processes may do so at once. A schema that is newer is accepted where it says that releases of
// this version can still read it (schema_version.oldest_reader); else FAILED_PRECONDITION
// (SCHEMA_TOO_NEW).
absl::Status Migrate(eventstore::Client& client, const EventTable& table, const Logger& logger);

}  // namespace yagura::archive
