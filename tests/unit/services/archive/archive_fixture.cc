#include "archive_fixture.h"

#include <gtest/gtest.h>

#include <thread>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/stream/worker.h"
#include "common/testing/eventually.h"
#include "common/testing/status_matchers.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {

using testing::IsOk;

TimePoint BaseTime() {
  static const TimePoint kBase = std::chrono::floor<std::chrono::days>(SystemClock()->Now()) -
                                 std::chrono::days(2) + std::chrono::hours(6);
  return kBase;
}

event::v1::Event MakeEvent(const std::string& tenant, int number) {
  event::v1::Event event;
  event.set_tenant(tenant);
  event.set_site("tokyo");
  event.set_device(fmt::format("fw{}", number % 3));
  const TimePoint received = BaseTime() + std::chrono::milliseconds(10) * number;
  *event.mutable_receive_time() = ToProto(received);
  *event.mutable_event_time() = ToProto(received - std::chrono::seconds(number % 100));
  event.set_product("fortinet.fortigate");
  event.set_category("traffic");
  event.set_severity(number % 10 == 0 ? event::v1::HIGH : event::v1::LOW);
  event.set_action(number % 4 == 0 ? event::v1::BLOCKED : event::v1::ALLOWED);
  event.mutable_src()->set_ip(
      std::string{10, 0, static_cast<char>(number / 250 % 250), static_cast<char>(number % 250)});
  event.mutable_src()->set_port(static_cast<uint32_t>(1024 + number % 5000));
  event.mutable_src()->set_interface("port2");
  event.mutable_dst()->set_ip(std::string{'\x20', 1, 13, '\xb8', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                          static_cast<char>(number % 200 + 1)});
  event.mutable_dst()->set_port(443);
  event.set_protocol("tcp");
  event.set_bytes_out(static_cast<uint64_t>(number));
  event.mutable_duration()->set_seconds(number % 60);
  event.set_user(fmt::format("user{}", number % 50));
  event.set_raw(fmt::format("<189>date=2026-11-22 devname=\"FW{}\" number={} user=\"User{}\" \xff",
                            number % 3, number, number % 50));
  event.set_message(std::string("binary \0;\xfe", 10));
  const auto add = [&event](const std::string& name, const std::string& value) {
    event.add_fields()->set_name(name);
    event.mutable_fields(event.fields_size() - 1)->set_value(value);
  };
  add("policyid", std::to_string(number % 7));
  add("attack", number % 20 == 0 ? "Evil.Thing" : "");
  add("z", "first");
  add("a", "middle");
  add("z", "second");
  if (number % 1000 == 999) {  // a device whose clock is wrong
    *event.mutable_event_time() = ToProto(received - std::chrono::hours(24 * 400));
    event.add_flaws(event::v1::PARTLY_PARSED);
  }
  return event;
}

std::string MakeBatch(const std::string& tenant, const std::string& batch_id, int first,
                      int count) {
  event::BatchBuilder builder({tenant, batch_id, BaseTime()});
  for (int i = first; i < first + count; ++i) builder.Add(MakeEvent(tenant, i));
  return builder.Finish();
}

rpc::Call MakeCall(const std::string& tenant, const std::set<std::string>& tenants) {
  auth::Grant grant;
  grant.role = "admin";
  grant.all_tenants = tenants.contains("-");
  grant.tenants = tenants;
  rpc::Call::Parts parts;
  parts.principal.name = "tenants/provider/users/test";
  parts.principal.grants = {grant};
  parts.permission = "archive.events.search";
  parts.tenant = tenant;
  parts.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  return rpc::Call(std::move(parts));
}

Archive::Archive() {
  eventstore::ClientOptions options;
  options.addresses = {store.address()};
  if (!store.cluster().empty()) AddReplication(1, &options);
  client = std::make_shared<eventstore::Client>(options);
  EXPECT_THAT(Migrate(*client, table, Logger::Null(), store.cluster()), IsOk());
  flow = redis.NewPool();
  EXPECT_THAT(stream::DeclareReaders(*flow, topic), IsOk());
  producer = std::make_unique<stream::Producer>(flow, topic, stream::Producer::Options{});
  auto opened = Spool::Open(store.folder() / "spool", 1ull << 30);
  EXPECT_THAT(opened, IsOk());
  spool = *std::move(opened);
}

Archive::~Archive() = default;

std::unique_ptr<EventWriter> Archive::NewWriter(WriterOptions options, int threads) {
  return std::make_unique<EventWriter>(
      EventWriter::Parts{flow, topic, client, table, retention, *spool, Logger::Null()},
      std::move(options), threads);
}

void Archive::Produce(const std::string& tenant, const std::string& batch_id, int first,
                      int count) {
  ProduceRaw(stream::ShardOf(batch_id, topic.shards), batch_id,
             MakeBatch(tenant, batch_id, first, count));
}

void Archive::ProduceRaw(int shard, const std::string& key, const std::string& payload) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (;;) {
    const auto id = producer->Append(shard, key, payload);
    if (id.ok()) return;
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << id.status();
  }
}

uint64_t Archive::CountEvents(const std::string& what) {
  const auto result =
      client->Select({.sql = fmt::format("SELECT toUInt64({}) FROM yagura.events", what)});
  return result.ok() ? result->rows[0][0].AsUnsigned() : 0;
}

bool Archive::AwaitEvents(uint64_t count) {
  return testing::Eventually([&] { return CountEvents() >= count; });
}

bool Archive::AwaitNoLag() {
  return testing::Eventually([this] { return Lag() == 0; });
}

std::string Archive::FlowsAddUpTo() {
  const auto sums = [this](const std::string& what, const std::string& from) -> std::string {
    const auto result =
        client->Select({.sql = fmt::format("SELECT toString(tuple({}, sum(bytes_out), "
                                           "sum(bytes_in))) FROM yagura.{}",
                                           what, from)});
    return result.ok() ? result->rows[0][0].text : result.status().ToString();
  };
  const std::string events = sums("count(), min(receive_time), max(receive_time)", "events");
  const std::string flows = sums("sum(event_count), min(first_time), max(last_time)", "flows");
  return events == flows ? "as events" : flows + " instead of " + events;
}

uint64_t Archive::Lag() {
  const stream::Worker worker(
      flow, topic, {.reader = "archive", .holder = {}},
      [](const auto&, const auto&) { return absl::OkStatus(); }, {}, Logger::Null());
  return worker.Lag().value_or(~uint64_t{0});
}

absl::Status InsertTwoTenants(const Archive& archive, int acme, int beta) {
  const RangeInserter inserter(archive.client, archive.table, archive.retention);
  RangeData range;
  range.plan.set_token("fixture");
  range.entries.push_back({{1, 0}, "a", MakeBatch("acme", "a", 0, acme)});
  range.entries.push_back({{2, 0}, "b", MakeBatch("beta", "b", 0, beta)});
  return inserter.Insert(range).status();
}

}  // namespace yagura::archive
