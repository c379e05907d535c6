#include "audit_world.h"

#include <gtest/gtest.h>

#include "fmt/format.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/store/change_feed.h"
#include "common/store/store.h"
#include "common/testing/status_matchers.h"
#include "services/archive/storage/audit_key.h"
#include "services/archive/storage/migrations.h"

namespace yagura::archive {

using testing::IsOk;

namespace {

std::shared_ptr<eventstore::Client> ClientOf(const std::string& address) {
  eventstore::ClientOptions options;
  options.addresses = {address};
  return std::make_shared<eventstore::Client>(options);
}

audit::v1::Record MakeRecord(const std::string& tenant, int number) {
  audit::v1::Record record;
  record.set_tenant(tenant);
  record.set_principal(number % 2 == 0 ? "tenants/provider/users/alice" : "services/detection");
  record.set_detail(std::to_string(number));
  record.set_resource(fmt::format("tenants/{}/things/{}", tenant, number % 7));
  record.set_action(number % 5 == 0 ? audit::v1::SEARCHED : audit::v1::UPDATED);
  record.set_status_code(number % 11 == 0 ? 7 : 0);
  record.set_digest(std::string("\0\xff;", 3));
  *record.mutable_time() = ToProto(BaseTime() + std::chrono::seconds(number));
  return record;
}

}  // namespace

SealerWorld::SealerWorld(const std::string& store_address,
                         const std::shared_ptr<redis::Pool>& redis,
                         const std::filesystem::path& key_folder,
                         std::shared_ptr<const Clock> clock)
    : client(ClientOf(store_address)),
      state(redis),
      seals(redis),
      store(client),
      key(*LoadOrCreateAuditKey(key_folder)),
      parts{seals, store, key, std::move(clock), Logger::Null()} {}

Status SealerWorld::Seal(const SealOptions& options) {
  AuditSealer sealer(state, options, parts);
  YAGURA_RETURN_IF_ERROR(sealer.Pass(true));
  YAGURA_RETURN_IF_ERROR(sealer.Health());
  const auto stalled = sealer.Stalled();
  return stalled.empty() ? absl::OkStatus() : stalled.begin()->second;
}

SealOptions SmallSeals() {
  SealOptions options;
  options.interval = std::chrono::milliseconds(20);
  options.records_per_seal = 8;
  options.lease = std::chrono::milliseconds(500);
  options.keep_age = std::chrono::hours(24 * 365);
  return options;
}

AuditWorld::AuditWorld(std::shared_ptr<const Clock> clock)
    : world(event_store.address(), state, redis.folder() / "keys", clock),
      handlers(state, world.seals, world.store, *TrustedKeysOf(world.key, {}), clock) {
  EXPECT_THAT(Migrate(*world.client, table, Logger::Null(), event_store.cluster()), IsOk());
  for (const char* tenant : {"acme", "beta"}) {
    EXPECT_THAT(store::RegisterTenant(*state, tenant), IsOk());
  }
}

void AuditWorld::Append(int first, int count) {
  std::vector<audit::v1::Record> records;
  for (int i = first; i < first + count; ++i) {
    records.push_back(MakeRecord(i % 3 == 0 ? "beta" : "acme", i));
  }
  EXPECT_THAT(store::AppendRecords(*state, records), IsOk());
}

void AuditWorld::AppendTo(const std::string& tenant, int first, int count) {
  std::vector<audit::v1::Record> records;
  for (int i = first; i < first + count; ++i) records.push_back(MakeRecord(tenant, i));
  EXPECT_THAT(store::AppendRecords(*state, records), IsOk());
}

audit::v1::VerifyRecordsResponse AuditWorld::Verify(const std::string& tenant) {
  const auto sink = std::make_shared<CollectingOutbox>();
  const rpc::Outbox<audit::v1::VerifyRecordsResponse> out(sink);
  EXPECT_THAT(handlers.VerifyRecords(MakeCall(tenant, {tenant}), {}, out), IsOk());
  if (sink->messages.empty()) return {};
  return static_cast<const audit::v1::VerifyRecordsResponse&>(*sink->messages.back());
}

std::vector<audit::v1::Record> AuditWorld::List(const std::string& tenant,
                                                const std::set<std::string>& scope,
                                                const std::string& filter, int page_size) {
  std::vector<audit::v1::Record> records;
  audit::v1::ListRecordsRequest request;
  request.set_parent("tenants/" + tenant);
  request.set_filter(filter);
  request.set_page_size(page_size);
  do {
    const auto page = handlers.ListRecords(MakeCall(tenant, scope), request);
    EXPECT_THAT(page, IsOk());
    if (!page.ok()) break;
    records.insert(records.end(), page->records().begin(), page->records().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && records.size() < 5000);
  return records;
}

std::vector<std::string> AuditWorld::Details(const std::string& tenant,
                                             const std::set<std::string>& scope,
                                             const std::string& filter, int page_size) {
  std::vector<std::string> details;
  for (const auto& record : List(tenant, scope, filter, page_size)) {
    details.push_back(record.detail());
  }
  return details;
}

void AuditWorld::Tamper(const std::string& sql) {
  EXPECT_THAT(world.client->Execute({.sql = sql, .settings = {{"mutations_sync", "2"}}}), IsOk());
}

uint64_t AuditWorld::Count(const std::string& what, const std::string& in) {
  const auto result =
      world.client->Select({.sql = fmt::format("SELECT toUInt64({}) FROM yagura.{}", what, in)});
  EXPECT_THAT(result, IsOk());
  return result.ok() ? result->rows[0][0].AsUnsigned() : 0;
}

}  // namespace yagura::archive
