#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"

#include "common/log/log.h"

namespace yagura::eventstore {
class Client;
struct ClientOptions;
}  // namespace yagura::eventstore

namespace yagura::archive {

class EventTable;

// The newest version of the schema that this release knows.
inline constexpr unsigned kSchemaVersion = 14;

// Where the events lie, and what becomes of them as they get older.
struct EventsPlace {
  std::string ttl = "expires";
  std::string storage_policy;  // empty: the servers' own
};

// Brings the schema of database `yagura` to kSchemaVersion, one version after another; several
// processes may do so at once. A schema that is newer is accepted where it says that releases of
// this version can still read it (schema_version.oldest_reader); else FAILED_PRECONDITION
// (SCHEMA_TOO_NEW).
//
// In a cluster, whose name is not empty, the tables are replicated ones, and each server is brought
// there by itself, through a client of it alone: what is not replicated (the database, that there
// are tables, views, settings of tables) each server has of its own, and so the version up to which
// it has that. FAILED_PRECONDITION (STORE_NOT_REPLICATED) where the server has tables of the other
// kind. `place` is what the others of the cluster have by ApplyTiering: a new server must make the
// table of events the same.
absl::Status Migrate(eventstore::Client& client, const EventTable& table, const Logger& logger,
                     const std::string& cluster = {}, const EventsPlace& place = {});

// What a client of a cluster needs: so many replicas have an insert before it counts, and a query
// sees what was stored before it was put, whichever replica answers.
void AddReplication(size_t quorum, eventstore::ClientOptions* options);

}  // namespace yagura::archive
