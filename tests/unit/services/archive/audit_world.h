#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/auth/token.h"
#include "common/eventstore/client.h"
#include "common/testing/event_store.h"
#include "common/testing/redis_server.h"
#include "services/archive/api/audit_handlers.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/audit_store.h"
#include "services/archive/storage/seal_store.h"
#include "services/archive/workers/audit_sealer.h"

namespace yagura::archive {

// What a sealer works on, wherever its store and its Redis are.
class SealerWorld {
 public:
  SealerWorld(const std::string& store_address, const std::shared_ptr<redis::Pool>& state,
              const std::filesystem::path& key_folder,
              std::shared_ptr<const Clock> clock = SystemClock());

  // Seals whatever there is of all tenants, under a holder of its own.
  absl::Status Seal(const SealOptions& options);

  std::shared_ptr<eventstore::Client> client;
  std::shared_ptr<redis::Pool> state;
  SealStore seals;
  AuditStore store;
  auth::SigningKey key;
  SealerParts parts;
};

// Eight records a seal, feeds kept whole, short leases.
SealOptions SmallSeals();

// A real event store with the schema, a real Redis, the tenants acme and beta.
class AuditWorld {
 public:
  explicit AuditWorld(std::shared_ptr<const Clock> clock = SystemClock());

  // Appends records `first`..`first + count - 1`: number % 3 == 0 is beta's, the rest acme's, a
  // second apart, with the number as detail.
  void Append(int first, int count);
  // All of one tenant.
  void AppendTo(const std::string& tenant, int first, int count);
  absl::Status Seal(const SealOptions& options = SmallSeals()) { return world.Seal(options); }
  audit::v1::VerifyRecordsResponse Verify(const std::string& tenant = "acme");
  // The records of all pages.
  std::vector<audit::v1::Record> List(const std::string& tenant, const std::set<std::string>& scope,
                                      const std::string& filter = "", int page_size = 70);
  std::vector<std::string> Details(const std::string& tenant, const std::set<std::string>& scope,
                                   const std::string& filter = "", int page_size = 70);
  // A statement that somebody with access to the event store may make.
  void Tamper(const std::string& sql);
  uint64_t Count(const std::string& what, const std::string& table = "audit_records");

  testing::EventStore event_store;
  testing::RedisServer redis;
  EventTable table;
  std::shared_ptr<redis::Pool> state = redis.NewPool();
  SealerWorld world;
  AuditHandlers handlers;
};

}  // namespace yagura::archive
