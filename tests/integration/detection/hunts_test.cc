// Hunts from their making to their results, over real Redis and an archive of our own.
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <random>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/testing/call_builder.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "common/timer/timer.h"
#include "services/detection/api/hunt_handlers.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/storage/kinds.h"
#include "services/detection/storage/rule_set_store.h"
#include "services/detection/workers/hunt_worker.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using yagura::testing::CallBuilder;
using yagura::testing::Eventually;
using yagura::testing::IsOk;
using yagura::testing::StatusIs;

constexpr char kRuleId[] = "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001";

std::string RuleText() {
  return fmt::format(
      "title: A rule\nid: {}\nlevel: high\ntags: [cve.2021-44228]\nlogsource:\n"
      "  product: acme\ndetection:\n  s:\n    a: 1\n  condition: s\n",
      kRuleId);
}

// Ten events a message, in order of receipt.
class Archive final : public HuntArchive {
 public:
  void Add(const std::string& tenant, int hours_ago, event::v1::Action action,
           const std::string& a = "1") {
    event::v1::Event event;
    *event.mutable_receive_time() =
        ToProto(SystemClock()->Now() - std::chrono::minutes(hours_ago * 60 + 1));
    *event.mutable_event_time() = event.receive_time();
    event.set_action(action);
    AddField(event, "a", a);
    Add(tenant, event);
  }
  static void AddField(event::v1::Event& event, const std::string& name, const std::string& value) {
    auto& field = *event.add_fields();
    field.set_name(name);
    field.set_value(value);
  }
  void Add(const std::string& tenant, const event::v1::Event& given) {
    const std::lock_guard lock(mutex_);
    auto& events = events_[tenant];
    auto& event = events.emplace_back(given);
    event.set_id(fmt::format("{}-{}", tenant, events.size()));
    event.set_tenant(tenant);
    event.set_product("acme.firewall");
    std::ranges::sort(events, {}, [](const auto& one) { return FromProto(one.receive_time()); });
  }
  // Everything fails once so many messages have been given.
  void FailAfter(int messages) {
    const std::lock_guard lock(mutex_);
    messages_left_ = messages;
  }
  // As FailAfter, but is there again for as many at the next question.
  void FailEvery(int messages) {
    FailAfter(messages);
    const std::lock_guard lock(mutex_);
    refill_ = messages;
  }
  // With what, instead of being away.
  void FailWith(absl::Status error) {
    const std::lock_guard lock(mutex_);
    error_ = std::move(error);
  }
  // Cannot be asked about the tenant, so often; -1: ever.
  void FailTenant(const std::string& tenant, int times = -1) {
    const std::lock_guard lock(mutex_);
    failing_[tenant] = times;
  }
  // How often it was away.
  int failures() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }
  // Whoever reads waits until Release.
  void Hold() {
    const std::lock_guard lock(mutex_);
    is_held_ = true;
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    is_held_ = false;
    released_.notify_all();
  }
  // Whoever reads waits once so many messages were given.
  void HoldAfter(int messages) {
    const std::lock_guard lock(mutex_);
    hold_in_ = messages;
  }
  // How many read a tenant's events now.
  int Readers(const std::string& tenant) {
    const std::lock_guard lock(mutex_);
    return readers_[tenant];
  }
  // Of which tenants messages were given, in order.
  std::vector<std::string> read() {
    const std::lock_guard lock(mutex_);
    return read_;
  }

  absl::Status Read(const Question& question, const Visit& visit) override {
    std::vector<event::v1::Event> fitting;
    {
      std::unique_lock lock(mutex_);
      ++readers_[question.tenant];
      released_.wait(lock, [this] { return !is_held_; });
      --readers_[question.tenant];
      if (int& left = failing_[question.tenant]; left != 0) {
        left -= left > 0 ? 1 : 0;
        ++failures_;
        return error_;
      }
      const auto filter = filter::Filter::Parse(question.filter, filter::EventSchema());
      if (!filter.ok()) return filter.status();
      for (const auto& event : events_[question.tenant]) {
        const TimePoint time = FromProto(event.receive_time());
        if (time >= question.start && time < question.end && filter->Matches(event)) {
          fitting.push_back(event);
        }
      }
    }
    size_t at = question.page_token.empty() ? 0 : std::stoul(question.page_token);
    do {
      archive::v1::SearchEventsResponse message;
      for (int i = 0; i < 10 && at < fitting.size(); ++i) *message.add_events() = fitting[at++];
      if (at < fitting.size()) message.set_next_page_token(std::to_string(at));
      {
        std::unique_lock lock(mutex_);
        if (hold_in_ == 0) is_held_ = true;
        if (hold_in_ >= 0) --hold_in_;
        ++readers_[question.tenant];
        released_.wait(lock, [this] { return !is_held_; });
        --readers_[question.tenant];
        if (messages_left_ == 0) {
          ++failures_;
          if (refill_ > 0) messages_left_ = refill_;
          return error_;
        }
        if (messages_left_ > 0) --messages_left_;
        read_.push_back(question.tenant);
      }
      if (!visit(message)) return absl::OkStatus();
    } while (at < fitting.size());
    return absl::OkStatus();
  }
  absl::StatusOr<Logs> Describe(const std::string& tenant, TimePoint, TimePoint) override {
    const std::lock_guard lock(mutex_);
    Logs logs;
    logs.event_count = events_[tenant].size();
    logs.coverage.set_source_count(1);
    if (logs.event_count > 0) {
      logs.first_receive_time = FromProto(events_[tenant].front().receive_time());
    }
    return logs;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<event::v1::Event>> events_;
  int messages_left_ = -1;
  int refill_ = 0;
  absl::Status error_ = Unavailable("EVENT_STORE_DOWN", "away");
  int failures_ = 0;
  std::map<std::string, int> failing_;
  bool is_held_ = false;
  int hold_in_ = -1;
  std::condition_variable released_;
  std::map<std::string, int> readers_;
  std::vector<std::string> read_;
};

// A correlation that waits for the end of its windows, below one that does not.
std::string CorrelationText() {
  return fmt::format(
      "title: Many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\ncorrelation:\n"
      "  type: event_count\n  rules: few\n  group-by: [site]\n  timespan: 10m\n"
      "  condition:\n    gte: 2\n---\ntitle: Few\nname: few\n"
      "id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c004\nlevel: low\ncorrelation:\n"
      "  type: value_count\n  rules: one\n  group-by: [who, site]\n  timespan: 2m\n"
      "  condition:\n    field: port\n    lte: 3\n  generate: true\n---\nname: one\n{}",
      RuleText());
}

// Those of acme that it looks at: the same in each process.
void AddCorrelated(TimePoint now, Archive& archive) {
  std::mt19937 random(7);
  for (int i = 0; i < 900; ++i) {
    event::v1::Event event;
    const TimePoint received = now - std::chrono::hours(6) + std::chrono::seconds(20 * i);
    *event.mutable_receive_time() = ToProto(received);
    *event.mutable_event_time() = ToProto(received - std::chrono::seconds(random() % 60));
    event.set_action(random() % 3 == 0 ? event::v1::ALLOWED : event::v1::BLOCKED);
    Archive::AddField(event, "a", random() % 4 == 0 ? "2" : "1");
    Archive::AddField(event, "who", fmt::format("user-{}", random() % 3));
    Archive::AddField(event, "port", fmt::format("{}", random() % 9));
    Archive::AddField(event, "site", random() % 2 == 0 ? "east" : "west");
    archive.Add("acme", event);
  }
}

// Not a test: the process that a test below kills.
TEST(HuntChild, DISABLED_Run) {
  const char* redis = std::getenv("YAGURA_TEST_REDIS");
  const char* now = std::getenv("YAGURA_TEST_NOW");
  if (redis == nullptr || now == nullptr) GTEST_SKIP() << "runs within other tests";
  redis::Endpoint endpoint;
  endpoint.address = redis;
  const auto pool = std::make_shared<redis::Pool>(endpoint, 8);
  const auto archive = std::make_shared<Archive>();
  AddCorrelated(*ParseTime(now), *archive);
  const auto surroundings = std::make_shared<Surroundings>();
  surroundings->SetInventories({});
  HuntWorker::Options options;
  options.save_every = std::chrono::milliseconds(0);
  MetricsRegistry metrics;
  HuntWorker worker(
      {.state = pool,
       .store = std::make_shared<HuntStore>(pool, SystemClock()),
       .archive = archive,
       .quarries = {
           .surroundings = surroundings,
           .placeholders = [](const auto&) { return Placeholders(); },
           .rules_about = [](const auto&, const auto&) { return std::vector<std::string>(); },
           .logger = Logger::Null()},
       .metrics = std::make_shared<HuntMetrics>(metrics),
       .clock = SystemClock(),
       .logger = Logger::Null(),
       .instance = "child"},
      options);
  worker.Start();
  // Until it is killed, or nobody is there any more who would.
  ::alarm(300);
  ::pause();
}

class HuntsTest : public ::testing::Test {
 protected:
  HuntsTest()
      : pool_(redis_.NewPool()),
        feed_(std::make_shared<store::FeedFollower>(pool_, Logger::Null())),
        rules_(pool_, RuleResourceKind(), SystemClock()),
        book_(std::make_shared<RuleBook>(
            rules_, pool_,
            std::make_shared<RuleSetStore>(pool_, stream::Topic{"events", 2, {}}, "detection"),
            metrics_, Logger::Null())),
        store_(std::make_shared<HuntStore>(pool_, SystemClock())) {
    for (const auto* tenant : {"acme", "globex", "initech", "provider", "quarantine"}) {
      EXPECT_THAT(store::RegisterTenant(*pool_, tenant), IsOk());
    }
    surroundings_->SetInventories({});
    feed_->Start();
    MakeWorker();
  }
  ~HuntsTest() override {
    archive_->Release();
    worker_->Stop();
    feed_->Stop();
  }

  // As after a restart.
  void MakeWorker(std::chrono::milliseconds save_every = std::chrono::milliseconds(0)) {
    HuntWorker::Options options;
    options.save_every = save_every;
    MakeWorker(options);
  }
  void MakeWorker(const HuntWorker::Options& options) {
    worker_ = std::make_shared<HuntWorker>(
        HuntWorker::Parts{.state = pool_,
                          .store = store_,
                          .archive = archive_,
                          .quarries = {.surroundings = surroundings_,
                                       .placeholders =
                                           [this](const std::string& tenant) {
                                             return book_->PlaceholdersFor(tenant);
                                           },
                                       .rules_about =
                                           [](const std::string&, const std::string&) {
                                             return std::vector<std::string>{RuleText()};
                                           },
                                       .logger = Logger::Null()},
                          .metrics = std::make_shared<HuntMetrics>(metrics_),
                          .clock = SystemClock(),
                          .logger = Logger::Null(),
                          .instance = "test"},
        options);
    handlers_ = std::make_unique<HuntHandlers>(HuntHandlers::Parts{.state = pool_,
                                                                   .store = store_,
                                                                   .feed = feed_,
                                                                   .worker = worker_,
                                                                   .rules = rules_,
                                                                   .rule_book = book_,
                                                                   .surroundings = surroundings_,
                                                                   .clock = SystemClock()});
  }

  static v1::CreateHuntRequest Request(const std::string& parent) {
    v1::CreateHuntRequest request;
    request.set_parent("tenants/" + parent);
    request.mutable_hunt()->mutable_rule()->set_text(RuleText());
    return request;
  }
  static rpc::Call StaffCall(const std::string& home = "provider") {
    return CallBuilder("detection.hunts.create").Tenant(home).Role("analyst").Build();
  }
  // Of one tenant or of several.
  std::string Start(const std::vector<std::string>& tenants) {
    auto request = Request("provider");
    for (const auto& tenant : tenants) request.add_tenants(tenant);
    const auto hunt = handlers_->Create(StaffCall(), request);
    EXPECT_THAT(hunt, IsOk());
    return hunt.ok() ? hunt->name() : "";
  }
  // "t-0" to "t-<count - 1>".
  std::vector<std::string> RegisterMany(int count) {
    std::vector<std::string> tenants;
    for (int i = 0; i < count; ++i) {
      tenants.push_back(fmt::format("t-{}", i));
      EXPECT_THAT(store::RegisterTenant(*pool_, tenants.back()), IsOk());
    }
    return tenants;
  }
  // How many keys Redis has looked up and found.
  int64_t KeysRead() {
    const auto stats = pool_->Command({"INFO", "stats"});
    const std::string_view name = "keyspace_hits:";
    const size_t at = stats.ok() ? stats->text.find(name) : std::string::npos;
    return at == std::string::npos ? 0 : std::stoll(stats->text.substr(at + name.size()));
  }
  v1::HuntResult ResultIn(const std::string& tenant, const std::string& hunt) {
    return store_->results.Get(HuntStore::ResultName(tenant, hunt)).value_or(v1::HuntResult());
  }
  bool IsDone(const std::string& hunt, v1::HuntState state = v1::DONE) {
    return Eventually([&] {
      const auto now = store_->hunts.Get(hunt);
      return now.ok() && now->state() == state && now->has_finish_time();
    });
  }

  testing::RedisServer redis_;
  std::shared_ptr<redis::Pool> pool_;
  std::shared_ptr<store::FeedFollower> feed_;
  store::Store<v1::Rule> rules_;
  MetricsRegistry metrics_;
  std::shared_ptr<RuleBook> book_;
  std::shared_ptr<HuntStore> store_;
  std::shared_ptr<Surroundings> surroundings_ = std::make_shared<Surroundings>();
  std::shared_ptr<Archive> archive_ = std::make_shared<Archive>();
  std::shared_ptr<HuntWorker> worker_;
  std::unique_ptr<HuntHandlers> handlers_;
};

TEST_F(HuntsTest, EveryTenantGetsItsResult) {
  archive_->Add("acme", 30, event::v1::BLOCKED);
  archive_->Add("acme", 5, event::v1::ALLOWED);
  archive_->Add("acme", 24 * 40, event::v1::ALLOWED);  // before the 30 days
  archive_->Add("globex", 5, event::v1::BLOCKED, "2");
  worker_->Start();
  const auto hunt = handlers_->Create(StaffCall(), Request("provider"));
  ASSERT_THAT(hunt, IsOk());
  EXPECT_EQ(hunt->title(), "A rule");
  EXPECT_EQ(hunt->tenant_count(), 3u);
  EXPECT_THAT(hunt->rule().text(), IsEmpty());
  ASSERT_TRUE(IsDone(hunt->name()));
  const auto acme = ResultIn("acme", hunt->name());
  EXPECT_EQ(acme.state(), v1::DONE);
  EXPECT_EQ(acme.attempted().count(), 2u);
  EXPECT_EQ(acme.passed().count(), 1u);
  EXPECT_EQ(acme.blocked().count(), 1u);
  EXPECT_THAT(acme.evidence(), SizeIs(2));
  EXPECT_EQ(acme.coverage().source_count(), 1u);
  EXPECT_EQ(ResultIn("globex", hunt->name()).attempted().count(), 0u);
  const auto initech = ResultIn("initech", hunt->name());
  EXPECT_THAT(initech.remarks(), ElementsAre(HasSubstr("nothing can be said")));
  v1::GetHuntRequest get;
  get.set_name(hunt->name());
  const auto whole = handlers_->Get(StaffCall(), get);
  ASSERT_THAT(whole, IsOk());
  EXPECT_EQ(whole->rule().text(), RuleText());
  EXPECT_EQ(whole->finished_tenant_count(), 3u);
  EXPECT_DOUBLE_EQ(whole->progress(), 1);
}

TEST_F(HuntsTest, AKilledHuntGoesOnFromItsCheckpointAndCountsEveryEventOnce) {
  for (int i = 0; i < 200; ++i) {
    archive_->Add("acme", 3 * i, i % 3 == 0 ? event::v1::ALLOWED : event::v1::BLOCKED);
  }
  archive_->FailAfter(12);
  auto request = Request("provider");
  request.add_tenants("acme");
  worker_->Start();
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(Eventually([this] { return archive_->failures() >= 2; }));
  worker_->Stop();
  const auto checkpoint = store_->checkpoints.Get(
      HuntStore::CheckpointName(HuntStore::ResultName("acme", hunt->name())));
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_GT(checkpoint->result().attempted().count(), 0u);
  EXPECT_LT(checkpoint->result().attempted().count(), 200u);
  archive_->FailAfter(-1);
  MakeWorker();
  worker_->Start();
  ASSERT_TRUE(IsDone(hunt->name()));
  const auto result = ResultIn("acme", hunt->name());
  EXPECT_EQ(result.attempted().count(), 200u);
  EXPECT_EQ(result.passed().count(), 67u);
  EXPECT_EQ(result.events_read(), 200u);
  EXPECT_THAT(result.error(), IsEmpty());
  // Right behind the hunt's own end.
  EXPECT_TRUE(Eventually([&] {
    return store_->checkpoints.Get(checkpoint->name()).status().code() ==
           absl::StatusCode::kNotFound;
  }));
}

// A relay kept half of the events for three days.
TEST_F(HuntsTest, ACorrelationThatWaitsForTheEndOfItsWindowsCountsWhatCameLate) {
  const TimePoint now = SystemClock()->Now();
  const std::chrono::hours delay(3 * 24);
  for (int i = 0; i < 60; ++i) {
    const TimePoint happened = now - std::chrono::hours(6 * 24) + std::chrono::minutes(i);
    event::v1::Event event;
    *event.mutable_event_time() = ToProto(happened);
    *event.mutable_receive_time() = ToProto(i % 2 == 0 ? happened : happened + delay);
    event.set_action(event::v1::ALLOWED);
    Archive::AddField(event, "a", "1");
    Archive::AddField(event, "bytes", i % 2 == 0 ? "300" : "100");
    archive_->Add("acme", event);
  }
  auto request = Request("provider");
  request.mutable_hunt()->mutable_rule()->set_text(fmt::format(
      "title: Large\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\ncorrelation:\n"
      "  type: value_avg\n  rules: one\n  group-by: [site]\n  timespan: 1h\n"
      "  condition:\n    field: bytes\n    lte: 200\n---\nname: one\n{}",
      RuleText()));
  *request.mutable_hunt()->mutable_end_time() = ToProto(now);
  request.add_tenants("acme");
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  worker_->Start();
  ASSERT_TRUE(IsDone(hunt->name()));
  const v1::HuntResult result = ResultIn("acme", hunt->name());
  EXPECT_EQ(result.finding_count(), 1u);
  EXPECT_EQ(result.attempted().count(), 60u);
  EXPECT_EQ(result.late_event_count(), 0u);
}

TEST_F(HuntsTest, ACorrelationThatIsKilledGoesOnAndFindsWhatItWouldHaveFound) {
  const TimePoint now = SystemClock()->Now();
  AddCorrelated(now, *archive_);
  const auto begin = [&] {
    auto request = Request("provider");
    request.mutable_hunt()->mutable_rule()->set_text(CorrelationText());
    *request.mutable_hunt()->mutable_end_time() = ToProto(now);
    request.add_tenants("acme");
    const auto hunt = handlers_->Create(StaffCall(), request);
    EXPECT_THAT(hunt, IsOk());
    return hunt.ok() ? hunt->name() : "";
  };
  const auto told = [&](const std::string& hunt) {
    v1::HuntResult result = ResultIn("acme", hunt);
    for (const auto* own : {"name", "etag", "create_time", "update_time", "hunt"}) {
      result.GetReflection()->ClearField(&result,
                                         v1::HuntResult::descriptor()->FindFieldByName(own));
    }
    return result.DebugString();
  };
  const std::string whole = begin();
  worker_->Start();
  ASSERT_TRUE(IsDone(whole));
  worker_->Stop();
  ASSERT_GT(ResultIn("acme", whole).finding_count(), 3u);
  const std::string expected = told(whole);
  const uint32_t first = std::random_device()();
  int kills = 0;
  // How many kills a hunt takes depends on how often its windows are kept.
  for (uint32_t seed = first; seed < first + 4 || (kills <= 12 && seed < first + 16); ++seed) {
    std::mt19937 random(seed);
    const std::string hunt = begin();
    const std::string checkpoint = HuntStore::CheckpointName(HuntStore::ResultName("acme", hunt));
    const auto read = [&] {
      const auto kept = store_->checkpoints.Get(checkpoint);
      return kept.ok() ? kept->result().events_read() : 0;
    };
    const auto is_done = [&] { return store_->hunts.Get(hunt)->state() == v1::DONE; };
    const bool done = Eventually([&] {
      testing::Process child(
          {"env", "YAGURA_TEST_REDIS=" + redis_.endpoint().address,
           "YAGURA_TEST_NOW=" + FormatTime(now),
           std::filesystem::read_symlink("/proc/self/exe").string(),
           "--gtest_filter=HuntChild.DISABLED_Run", "--gtest_also_run_disabled_tests"},
          redis_.folder() / "child.log");
      // Somewhere on its way, if it gets on at all.
      const uint64_t enough = read() + 1 + random() % 200;
      Eventually([&] { return read() >= enough || is_done(); });
      child.Kill();
      ++kills;
      return is_done();
    });
    EXPECT_TRUE(done) << "seed " << seed;
    EXPECT_EQ(told(hunt), expected) << "seed " << seed;
  }
  EXPECT_GT(kills, 12);
  MakeWorker();  // for what the last one may have left
  worker_->Start();
  EXPECT_TRUE(Eventually([&] {
    return pool_->Command({"KEYS", "*:hunt-state:*"})->items.empty();
  }));
}

TEST_F(HuntsTest, WhatWhoeverTookOverHasWrittenStaysThere) {
  const TimePoint now = SystemClock()->Now();
  AddCorrelated(now, *archive_);
  auto request = Request("provider");
  request.mutable_hunt()->mutable_rule()->set_text(CorrelationText());
  *request.mutable_hunt()->mutable_end_time() = ToProto(now);
  request.add_tenants("acme");
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  const std::string key =
      fmt::format("y:{{acme}}:detection:hunt-state:{}", store::LastId(hunt->name()));
  const auto write = [&](const std::string& piece) {
    ASSERT_THAT(pool_->Command({"HSET", key, piece, "what a probe knows"}), IsOk());
  };
  const auto is_there = [&](const std::string& piece) {
    return pool_->Command({"HEXISTS", key, piece})->integer == 1;
  };
  const auto held_at = [&](size_t messages) {
    return Eventually(
        [&] { return archive_->read().size() == messages && archive_->Readers("acme") == 1; });
  };
  write("killed:0");
  archive_->HoldAfter(3);
  worker_->Start();
  ASSERT_TRUE(held_at(3));
  EXPECT_FALSE(is_there("killed:0")) << "no checkpoint names it";
  EXPECT_EQ(pool_->Command({"HLEN", key})->integer, 1) << "what was kept before is dropped";
  write("successor:0");
  archive_->HoldAfter(2);
  archive_->Release();
  ASSERT_TRUE(held_at(6));
  EXPECT_TRUE(is_there("successor:0"));
  EXPECT_EQ(pool_->Command({"HLEN", key})->integer, 2);
  archive_->Release();
  EXPECT_TRUE(IsDone(hunt->name()));
  EXPECT_TRUE(Eventually([&] { return pool_->Command({"EXISTS", key})->integer == 0; }));
}

TEST_F(HuntsTest, WindowsThatAreTooLargeAreNotKeptButDecidedAllTheSame) {
  const TimePoint now = SystemClock()->Now();
  AddCorrelated(now, *archive_);
  HuntWorker::Options options;
  options.save_every = std::chrono::milliseconds(0);
  options.state_bytes = 1;
  options.turn = std::chrono::milliseconds(0);
  MakeWorker(options);
  worker_->Start();
  archive_->FailAfter(20);
  auto request = Request("provider");
  request.mutable_hunt()->mutable_rule()->set_text(CorrelationText());
  request.add_tenants("acme");
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(Eventually([this] { return archive_->failures() >= 1; }));
  archive_->FailAfter(-1);
  ASSERT_TRUE(IsDone(hunt->name()));
  EXPECT_EQ(ResultIn("acme", hunt->name()).events_read(), 900u);
  EXPECT_GT(ResultIn("acme", hunt->name()).finding_count(), 3u);
}

TEST_F(HuntsTest, WhatWasReadBehindTheCheckpointIsReadAgain) {
  for (int i = 0; i < 100; ++i) archive_->Add("acme", i, event::v1::ALLOWED);
  archive_->FailAfter(5);
  MakeWorker(std::chrono::hours(1));  // never saved
  worker_->Start();
  auto request = Request("provider");
  request.add_tenants("acme");
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(Eventually([this] { return archive_->failures() >= 1; }));
  worker_->Stop();
  archive_->FailAfter(-1);
  MakeWorker();
  worker_->Start();
  ASSERT_TRUE(IsDone(hunt->name()));
  EXPECT_EQ(ResultIn("acme", hunt->name()).attempted().count(), 100u);
}

TEST_F(HuntsTest, TroublesWithProgressInBetweenAreNotOneLongOne) {
  for (int i = 0; i < 120; ++i) archive_->Add("acme", i, event::v1::ALLOWED);
  archive_->FailEvery(8);
  HuntWorker::Options options;
  options.save_every = std::chrono::milliseconds(0);
  options.patience = std::chrono::milliseconds(500);  // half of the first pause
  MakeWorker(options);
  worker_->Start();
  auto request = Request("provider");
  request.add_tenants("acme");
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(IsDone(hunt->name())) << ResultIn("acme", hunt->name()).error();
  EXPECT_GE(archive_->failures(), 2);
  EXPECT_EQ(ResultIn("acme", hunt->name()).attempted().count(), 120u);
}

TEST_F(HuntsTest, ATenantThatCannotBeReadHoldsNobodyUp) {
  const auto tenants = RegisterMany(4);
  for (const auto& tenant : tenants) archive_->Add(tenant, 1, event::v1::ALLOWED);
  archive_->FailTenant("t-0");
  HuntWorker::Options options;
  options.threads = 1;
  MakeWorker(options);
  worker_->Start();
  const std::string hunt = Start(tenants);
  for (size_t i = 1; i < tenants.size(); ++i) {
    EXPECT_TRUE(Eventually([&] { return ResultIn(tenants[i], hunt).state() == v1::DONE; })) << i;
  }
  EXPECT_EQ(ResultIn("t-0", hunt).state(), v1::RUNNING);
  archive_->FailTenant("t-0", 0);
  EXPECT_TRUE(IsDone(hunt));
}

TEST_F(HuntsTest, TroubleOfOneTenantDoesNotUseUpThePatienceOfAnother) {
  for (const auto* tenant : {"acme", "globex"}) archive_->Add(tenant, 1, event::v1::ALLOWED);
  archive_->FailTenant("acme");
  archive_->FailTenant("globex", 1);
  HuntWorker::Options options;
  options.threads = 1;
  options.patience = std::chrono::milliseconds(1'500);
  options.troubled = 1;  // globex comes once acme is given up
  MakeWorker(options);
  worker_->Start();
  const std::string hunt = Start({"acme", "globex"});
  ASSERT_TRUE(IsDone(hunt));
  EXPECT_EQ(ResultIn("acme", hunt).state(), v1::FAILED);
  EXPECT_EQ(ResultIn("globex", hunt).state(), v1::DONE) << ResultIn("globex", hunt).error();
}

TEST_F(HuntsTest, PatienceDoesNotBeginAnewWithARestartNorEndWhileNobodyTried) {
  for (const auto* tenant : {"acme", "globex"}) archive_->Add(tenant, 1, event::v1::ALLOWED);
  archive_->FailAfter(0);
  worker_->Start();
  const std::string hunt = Start({"acme", "globex"});
  ASSERT_TRUE(Eventually([this] { return archive_->failures() >= 2; }));
  worker_->Stop();
  const auto change = [&](const char* tenant, std::chrono::minutes trouble,
                          std::chrono::hours ago) {
    const std::string name = HuntStore::CheckpointName(HuntStore::ResultName(tenant, hunt));
    EXPECT_THAT(store_->checkpoints.Mutate({.principal = "test"}, name,
                                           [&](auto& checkpoint) {
                                             EXPECT_TRUE(checkpoint.has_troubled_at());
                                             *checkpoint.mutable_trouble() =
                                                 ToProtoDuration(trouble);
                                             *checkpoint.mutable_troubled_at() =
                                                 ToProto(SystemClock()->Now() - ago);
                                             return absl::OkStatus();
                                           }),
                IsOk());
  };
  change("acme", std::chrono::minutes(60), std::chrono::hours(0));
  change("globex", std::chrono::minutes(1), std::chrono::hours(9));  // the service was down
  MakeWorker();
  worker_->Start();
  EXPECT_TRUE(Eventually([&] { return ResultIn("acme", hunt).state() == v1::FAILED; }));
  const int failures = archive_->failures();
  EXPECT_TRUE(Eventually([&] { return archive_->failures() > failures; }));
  EXPECT_EQ(ResultIn("globex", hunt).state(), v1::RUNNING);
  archive_->FailAfter(-1);
  EXPECT_TRUE(IsDone(hunt));
}

TEST_F(HuntsTest, HuntsAreCountedAndThoseUnderWayTold) {
  for (int i = 0; i < 25; ++i) archive_->Add("acme", i, event::v1::ALLOWED);
  archive_->Add("globex", 1, event::v1::ALLOWED);
  HuntGauges gauges(store_->hunts, feed_, metrics_, std::chrono::milliseconds(10));
  gauges.Start();
  const auto tells = [this](const std::string& line) {
    return Eventually(
        [&] { return ("\n" + metrics_.Render()).find("\n" + line + "\n") != std::string::npos; });
  };
  const std::string hunt = Start({"acme", "globex"});
  EXPECT_TRUE(tells("yagura_detection_hunts{state=\"queued\"} 1"));
  archive_->Hold();
  worker_->Start();
  EXPECT_TRUE(tells("yagura_detection_hunts{state=\"running\"} 1"));
  EXPECT_TRUE(tells("yagura_detection_hunts{state=\"queued\"} 0"));
  EXPECT_TRUE(tells("yagura_detection_hunt_tenants 2"));
  archive_->FailWith(Internal("broken"));
  archive_->FailTenant("globex");
  archive_->Release();
  ASSERT_TRUE(IsDone(hunt));
  EXPECT_TRUE(tells("yagura_detection_hunts{state=\"running\"} 0"));
  EXPECT_TRUE(tells("yagura_detection_hunt_tenants 0"));
  EXPECT_TRUE(tells("yagura_detection_hunt_events_total 25"));
  EXPECT_TRUE(tells("yagura_detection_hunt_results_total{end=\"done\"} 1"));
  EXPECT_TRUE(tells("yagura_detection_hunt_results_total{end=\"failed\"} 1"));
  EXPECT_TRUE(tells("yagura_detection_hunts_total{end=\"done\"} 1"));
  EXPECT_TRUE(tells("yagura_detection_hunt_seconds_count 1"));
  gauges.Stop();
}

TEST_F(HuntsTest, ACancelledHuntKeepsWhatItHasFound) {
  for (int i = 0; i < 50; ++i) archive_->Add("acme", i, event::v1::ALLOWED);
  archive_->FailAfter(3);
  worker_->Start();
  const auto hunt = handlers_->Create(StaffCall(), Request("provider"));
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(Eventually([this] { return archive_->failures() >= 1; }));
  v1::CancelHuntRequest cancel;
  cancel.set_name(hunt->name());
  ASSERT_THAT(handlers_->Cancel(StaffCall(), cancel), IsOk());
  ASSERT_TRUE(Eventually([&] { return ResultIn("acme", hunt->name()).state() == v1::CANCELLED; }));
  EXPECT_EQ(store_->hunts.Get(hunt->name())->state(), v1::CANCELLED);
}

TEST_F(HuntsTest, ADeletedHuntGoesWithItsResultsEverywhere) {
  archive_->Add("acme", 1, event::v1::ALLOWED);
  worker_->Start();
  const auto hunt = handlers_->Create(StaffCall(), Request("provider"));
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(IsDone(hunt->name()));
  v1::DeleteHuntRequest request;
  request.set_name(hunt->name());
  ASSERT_THAT(handlers_->Delete(StaffCall(), request), IsOk());
  EXPECT_TRUE(Eventually([&] {
    return ResultIn("acme", hunt->name()).name().empty() &&
           ResultIn("initech", hunt->name()).name().empty() &&
           !store_->plans.Get(HuntStore::PlanName(hunt->name())).ok();
  }));
}

TEST_F(HuntsTest, WhatIsWorkedAtIsNotBegunAgain) {
  archive_->Add("acme", 1, event::v1::ALLOWED);
  archive_->Add("globex", 1, event::v1::ALLOWED);
  archive_->Hold();
  worker_->Start();
  const std::string hunt = Start({"acme"});
  ASSERT_TRUE(Eventually([this] { return archive_->Readers("acme") == 1; }));
  // As where the process that made it was slow, or died after its first call.
  ASSERT_THAT(worker_->Begin(hunt), IsOk());
  timer::TimerQueue queue(pool_, "hunts");
  ASSERT_TRUE(Eventually([&] {
    const auto timer = queue.Find("begin " + hunt);
    return timer.ok() && !*timer;
  }));
  // The other thread is free for somebody else.
  Start({"globex"});
  EXPECT_TRUE(Eventually([this] { return archive_->Readers("globex") == 1; }));
  EXPECT_EQ(archive_->Readers("acme"), 1);
  archive_->Release();
  EXPECT_TRUE(IsDone(hunt));
}

TEST_F(HuntsTest, WhatSomebodyElseHasFinishedIsNotWrittenOver) {
  for (int i = 0; i < 30; ++i) archive_->Add("acme", i, event::v1::ALLOWED);
  archive_->Hold();
  worker_->Start();
  const std::string hunt = Start({"acme"});
  ASSERT_TRUE(Eventually([this] { return archive_->Readers("acme") == 1; }));
  // The lease ran out, another process took the tenant over, and is through with it.
  ASSERT_THAT(store_->results.Mutate({.principal = "test"}, HuntStore::ResultName("acme", hunt),
                                     [](v1::HuntResult& result) {
                                       result.set_state(v1::DONE);
                                       result.mutable_attempted()->set_count(7);
                                       return absl::OkStatus();
                                     }),
              IsOk());
  archive_->Release();
  ASSERT_TRUE(IsDone(hunt));
  EXPECT_EQ(ResultIn("acme", hunt).state(), v1::DONE);
  EXPECT_EQ(ResultIn("acme", hunt).attempted().count(), 7u);
}

TEST_F(HuntsTest, ACheckpointThatSomebodyElseHasMovedIsNotWrittenOver) {
  for (int i = 0; i < 30; ++i) archive_->Add("acme", i, event::v1::ALLOWED);
  archive_->Hold();
  worker_->Start();
  const std::string hunt = Start({"acme"});
  ASSERT_TRUE(Eventually([this] { return archive_->Readers("acme") == 1; }));
  const std::string checkpoint = HuntStore::CheckpointName(HuntStore::ResultName("acme", hunt));
  ASSERT_THAT(store_->checkpoints.Mutate({.principal = "test"}, checkpoint,
                                         [](auto& moved) {
                                           moved.set_pass(1);  // all was read
                                           moved.mutable_result()->set_events_read(7);
                                           return absl::OkStatus();
                                         }),
              IsOk());
  archive_->Release();
  ASSERT_TRUE(IsDone(hunt));
  EXPECT_EQ(ResultIn("acme", hunt).events_read(), 7u);
  EXPECT_EQ(ResultIn("acme", hunt).attempted().count(), 0u);
}

TEST_F(HuntsTest, ManyTenantsCostNoMoreEachThanFew) {
  const auto tenants = RegisterMany(120);
  feed_->Stop();  // which reads, too
  worker_->Start();
  const auto cost = [&](size_t count) {
    const int64_t before = KeysRead();
    const std::string hunt = Start({tenants.begin(), tenants.begin() + static_cast<int>(count)});
    EXPECT_TRUE(IsDone(hunt));
    return KeysRead() - before;
  };
  const int64_t few = cost(30);
  EXPECT_LT(cost(120), 6 * few) << few << " keys are read for 30 tenants";
}

TEST_F(HuntsTest, ProgressOfAHuntThatBeganBeforeAnUpgradeIsWhole) {
  archive_->Add("acme", 1, event::v1::ALLOWED);
  archive_->FailAfter(0);
  worker_->Start();
  const std::string hunt = Start({"acme", "globex", "initech"});
  ASSERT_TRUE(Eventually([&] { return store_->hunts.Get(hunt)->finished_tenant_count() == 2; }));
  worker_->Stop();
  const std::string key =
      fmt::format("y:{{provider}}:detection:hunt-progress:{}", store::LastId(hunt));
  ASSERT_EQ(pool_->Command({"DEL", key})->integer, 1);
  archive_->FailAfter(-1);
  MakeWorker();
  worker_->Start();
  EXPECT_TRUE(IsDone(hunt));
}

TEST_F(HuntsTest, ASmallHuntDoesNotWaitForALargeOne) {
  const auto tenants = RegisterMany(40);
  for (const auto& tenant : tenants) archive_->Add(tenant, 1, event::v1::ALLOWED);
  archive_->Add("acme", 1, event::v1::ALLOWED);
  archive_->Hold();
  worker_->Start();
  const std::string large = Start(tenants);
  ASSERT_TRUE(Eventually([&] { return archive_->Readers("t-0") + archive_->Readers("t-1") == 2; }));
  const std::string small = Start({"acme"});
  archive_->Release();
  EXPECT_TRUE(IsDone(large));
  EXPECT_TRUE(IsDone(small));
  const auto read = archive_->read();
  const auto at = std::ranges::find(read, "acme") - read.begin();
  EXPECT_LT(at, static_cast<int>(read.size() / 4)) << "of " << read.size();
}

TEST_F(HuntsTest, ATenantWithManyEventsGivesWayToOthers) {
  for (int i = 0; i < 300; ++i) {
    archive_->Add("acme", i, event::v1::ALLOWED);
    archive_->Add("globex", i, event::v1::ALLOWED);
  }
  HuntWorker::Options options;
  options.threads = 1;
  options.turn = std::chrono::milliseconds(0);
  MakeWorker(options);
  archive_->Hold();
  worker_->Start();
  const std::string first = Start({"acme"});
  ASSERT_TRUE(Eventually([&] { return archive_->Readers("acme") == 1; }));
  const std::string second = Start({"globex"});
  archive_->Release();
  ASSERT_TRUE(IsDone(first));
  ASSERT_TRUE(IsDone(second));
  const auto read = archive_->read();
  const auto begun = std::ranges::find(read, "globex") - read.begin();
  EXPECT_LT(begun, 10) << "of " << read.size();
  EXPECT_EQ(ResultIn("acme", first).attempted().count(), 300u);
  EXPECT_EQ(ResultIn("acme", first).events_read(), 300u);
  EXPECT_EQ(ResultIn("globex", second).attempted().count(), 300u);
}

TEST_F(HuntsTest, MoreOrFewerThreadsThanItBeganWithLeaveNoTenantOut) {
  const auto tenants = RegisterMany(11);
  for (const auto& tenant : tenants) archive_->Add(tenant, 1, event::v1::ALLOWED);
  archive_->FailAfter(4);
  HuntWorker::Options options;
  options.threads = 3;
  MakeWorker(options);
  worker_->Start();
  const std::string hunt = Start(tenants);
  ASSERT_TRUE(Eventually([this] { return archive_->failures() >= 2; }));
  worker_->Stop();
  archive_->FailAfter(-1);
  options.threads = 2;
  MakeWorker(options);
  worker_->Start();
  ASSERT_TRUE(IsDone(hunt));
  for (const auto& tenant : tenants) EXPECT_EQ(ResultIn(tenant, hunt).attempted().count(), 1u);
}

TEST_F(HuntsTest, WhatWasCancelledBeforeItBeganOrWasLostGoesToo) {
  HuntWorker::Options options;
  options.keep = std::chrono::hours(0);
  MakeWorker(options);
  const std::string cancelled = Start({"acme"});
  v1::CancelHuntRequest cancel;
  cancel.set_name(cancelled);
  ASSERT_THAT(handlers_->Cancel(StaffCall(), cancel), IsOk());
  const std::string lost = Start({"acme"});
  ASSERT_THAT(store_->plans.Delete({.principal = "test"}, HuntStore::PlanName(lost)), IsOk());
  worker_->Start();
  for (const auto& hunt : {cancelled, lost}) {
    EXPECT_TRUE(Eventually([&] {
      return store_->hunts.Get(hunt).status().code() == absl::StatusCode::kNotFound;
    })) << hunt;
  }
}

TEST_F(HuntsTest, WhatEndedLongAgoGoesThoughNoTimerSaysSo) {
  archive_->Add("acme", 1, event::v1::ALLOWED);
  worker_->Start();
  std::map<v1::HuntState, std::string> ended;
  for (const auto state : {v1::CANCELLED, v1::FAILED, v1::DONE}) {
    ended[state] = Start({"acme"});
    ASSERT_TRUE(IsDone(ended[state]));
    const bool is_old = state != v1::DONE;
    ASSERT_THAT(store_->hunts.Mutate({.principal = "test"}, ended[state],
                                     [&](v1::Hunt& hunt) {
                                       hunt.set_state(state);
                                       *hunt.mutable_finish_time() =
                                           ToProto(SystemClock()->Now() -
                                                   std::chrono::hours(24 * (is_old ? 91 : 89)));
                                       return absl::OkStatus();
                                     }),
                IsOk());
  }
  worker_->Stop();
  // As an earlier release left them.
  timer::TimerQueue queue(pool_, "hunts");
  for (const auto& [state, hunt] : ended) ASSERT_THAT(queue.Cancel("expire " + hunt), IsOk());
  MakeWorker();
  worker_->Start();
  for (const auto state : {v1::CANCELLED, v1::FAILED}) {
    EXPECT_TRUE(Eventually([&] {
      return store_->hunts.Get(ended[state]).status().code() == absl::StatusCode::kNotFound &&
             ResultIn("acme", ended[state]).name().empty();
    })) << v1::HuntState_Name(state);
  }
  EXPECT_THAT(store_->hunts.Get(ended[v1::DONE]), IsOk()) << "until tomorrow";
}

TEST_F(HuntsTest, AnErrorTellsNothingOfTheInside) {
  archive_->Add("acme", 1, event::v1::ALLOWED);
  archive_->FailAfter(0);
  archive_->FailWith(Internal("connect to 10.9.8.7:8123: password of yagura is wrong"));
  worker_->Start();
  const std::string hunt = Start({"acme"});
  ASSERT_TRUE(IsDone(hunt, v1::FAILED));
  const auto result = ResultIn("acme", hunt);
  EXPECT_EQ(result.state(), v1::FAILED);
  EXPECT_THAT(result.error(), HasSubstr("within the service"));
  EXPECT_THAT(result.error(), ::testing::Not(HasSubstr("10.9.8.7")));
}

TEST_F(HuntsTest, NobodyHuntsWhereTheyMayNot) {
  const auto one = CallBuilder("detection.hunts.create")
                       .Tenant("acme")
                       .Role("analyst", {"acme", "globex"})
                       .Build();
  auto request = Request("acme");
  auto hunt = handlers_->Create(one, request);
  ASSERT_THAT(hunt, IsOk());
  EXPECT_EQ(hunt->tenant_count(), 1u);
  // Those of acme who may end and delete a hunt may do so with all of it.
  std::set<std::string> answers;
  for (const auto* other : {"-", "globex", "initech", "does-not-exist", "provider"}) {
    request.clear_tenants();
    request.add_tenants("acme");
    request.add_tenants(other);
    const auto refused = handlers_->Create(one, request);
    EXPECT_THAT(refused.status(), StatusIs(absl::StatusCode::kInvalidArgument)) << other;
    EXPECT_THAT(std::string(Message(refused.status())), HasSubstr("tenants")) << other;
    answers.insert(std::string(Message(refused.status())));
  }
  EXPECT_THAT(answers, SizeIs(1));
  // Under the provider's they are those in which the caller may hunt.
  const auto some = CallBuilder("detection.hunts.create")
                        .Tenant("provider")
                        .Role("analyst", {"provider", "acme", "globex"})
                        .Build();
  request.set_parent("tenants/provider");
  request.clear_tenants();
  request.add_tenants("-");
  hunt = handlers_->Create(some, request);
  ASSERT_THAT(hunt, IsOk());
  EXPECT_EQ(hunt->tenant_count(), 2u);
  answers.clear();
  for (const auto* foreign : {"initech", "does-not-exist"}) {
    request.clear_tenants();
    request.add_tenants(foreign);
    const auto refused = handlers_->Create(some, request);
    EXPECT_THAT(refused.status(), StatusIs(absl::StatusCode::kPermissionDenied)) << foreign;
    answers.insert(std::string(Message(refused.status())));
  }
  EXPECT_THAT(answers, SizeIs(1));
  request.set_parent("tenants/acme");
  // A provider's rule is for those who may read it.
  request.clear_tenants();
  request.mutable_hunt()->mutable_rule()->clear_text();
  request.mutable_hunt()->mutable_rule()->set_rule(
      fmt::format("tenants/provider/rules/{}", kRuleId));
  EXPECT_THAT(handlers_->Create(one, request).status(),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(HuntsTest, EverybodySeesTheResultsOfTheirOwnTenantsAlone) {
  for (const auto* tenant : {"acme", "globex", "initech"}) {
    archive_->Add(tenant, 1, event::v1::ALLOWED);
  }
  worker_->Start();
  const auto hunt = handlers_->Create(StaffCall(), Request("provider"));
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(IsDone(hunt->name()));
  const auto names = [&](const rpc::Call& call, const std::string& parent, int page_size = 0) {
    std::vector<std::string> found;
    v1::ListHuntResultsRequest request;
    request.set_parent(parent);
    request.set_hunt(hunt->name());
    request.set_filter("passed.count > 0");
    request.set_page_size(page_size);
    do {
      const auto page = handlers_->ListResults(call, request);
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) return found;
      for (const auto& result : page->hunt_results()) {
        EXPECT_THAT(result.evidence(), IsEmpty());
        found.emplace_back(*store::TenantOf(result.name()));
      }
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return found;
  };
  const auto list = [](const std::string& tenant, const std::string& role,
                       std::set<std::string> of) {
    return CallBuilder("detection.hunt_results.list").Tenant(tenant).Role(role, of).Build();
  };
  EXPECT_THAT(names(list("-", "viewer", {}), "tenants/-"),
              ElementsAre("acme", "globex", "initech"));
  EXPECT_THAT(names(list("-", "viewer", {}), "tenants/-", 1),
              ElementsAre("acme", "globex", "initech"));
  EXPECT_THAT(names(list("-", "customer-viewer", {"globex"}), "tenants/-"), ElementsAre("globex"));
  EXPECT_THAT(names(list("acme", "customer-viewer", {"acme"}), "tenants/acme"),
              ElementsAre("acme"));
}

TEST_F(HuntsTest, AQuestionThatCannotBeAskedIsRefused) {
  const auto refused = [&](const std::function<void(v1::Hunt&)>& change) {
    auto request = Request("provider");
    change(*request.mutable_hunt());
    const auto hunt = handlers_->Create(StaffCall(), request);
    EXPECT_THAT(hunt.status(), StatusIs(absl::StatusCode::kInvalidArgument));
    return std::string(Message(hunt.status()));
  };
  EXPECT_THAT(refused([](auto& hunt) { hunt.clear_question(); }), HasSubstr("hunt"));
  EXPECT_THAT(refused([](auto& hunt) { hunt.mutable_rule()->set_text("title: x"); }),
              HasSubstr("hunt.rule.text"));
  EXPECT_THAT(refused([](auto& hunt) { hunt.mutable_vulnerability()->set_cve("log4shell"); }),
              HasSubstr("hunt.vulnerability.cve"));
  EXPECT_THAT(refused([](auto& hunt) { hunt.mutable_indicators()->set_text("a.example\nx"); }),
              HasSubstr("line 2"));
  EXPECT_THAT(refused([](auto& hunt) { hunt.set_event_filter("sorce = 1"); }),
              HasSubstr("hunt.event_filter"));
  EXPECT_THAT(refused([](auto& hunt) { hunt.set_title("a\x1b[31m"); }), HasSubstr("hunt.title"));
  EXPECT_THAT(refused([](auto& hunt) { hunt.set_product("log4j"); }), HasSubstr("hunt.product"));
  EXPECT_THAT(refused([](auto& hunt) {
                *hunt.mutable_start_time() =
                    ToProto(SystemClock()->Now() - std::chrono::hours(401 * 24));
              }),
              HasSubstr("400 days"));
}

TEST_F(HuntsTest, ACveAsksForItsRulesAndTheProduct) {
  archive_->Add("acme", 1, event::v1::ALLOWED);
  const auto kev = KevCatalog::Parse(
      R"({"vulnerabilities": [{"cveID": "CVE-2021-44228", "vendorProject": "Apache",
          "product": "Log4j2", "vulnerabilityName": "Log4Shell"}]})");
  ASSERT_THAT(kev, IsOk());
  surroundings_->SetKev(*kev);
  directory::v1::Asset asset;
  asset.set_name("tenants/acme/assets/web");
  asset.add_products("apache:log4j:2.14.1");
  surroundings_->SetInventory("acme", Inventory::Build({asset}, true));
  worker_->Start();
  auto request = Request("provider");
  request.mutable_hunt()->mutable_vulnerability()->set_cve("cve-2021-44228");
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  EXPECT_EQ(hunt->vulnerability().cve(), "CVE-2021-44228");
  EXPECT_TRUE(hunt->vulnerability().known_exploited());
  EXPECT_THAT(hunt->products(), ElementsAre("Apache Log4j2"));
  ASSERT_TRUE(IsDone(hunt->name()));
  const auto acme = ResultIn("acme", hunt->name());
  EXPECT_EQ(acme.product_presence(), v1::PRODUCT_FOUND);
  EXPECT_EQ(acme.passed().count(), 1u);
  const auto globex = ResultIn("globex", hunt->name());
  EXPECT_EQ(globex.product_presence(), v1::PRODUCT_UNKNOWN);
  EXPECT_THAT(globex.product_reasons(), ElementsAre(HasSubstr("no inventory")));
}

TEST_F(HuntsTest, WithoutACatalogueItSaysSo) {
  worker_->Start();
  auto request = Request("provider");
  request.mutable_hunt()->mutable_vulnerability()->set_cve("CVE-2021-44228");
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(IsDone(hunt->name()));
  EXPECT_THAT(ResultIn("acme", hunt->name()).remarks(),
              ::testing::Contains(HasSubstr("is loaded (setting kev_file)")));
}

// Some tenants have values for a rule's placeholders: the others learn what they lack.
TEST_F(HuntsTest, ATenantWithoutTheRulesPlaceholdersIsToldWhich) {
  store::Store<v1::Placeholder> placeholders(pool_, PlaceholderKind(), SystemClock());
  v1::Placeholder ours;
  ours.set_name("tenants/acme/placeholders/our-values");
  ours.add_values("1");
  ASSERT_THAT(placeholders.Create({.principal = "test"}, ours), IsOk());
  archive_->Add("acme", 1, event::v1::ALLOWED);
  archive_->Add("globex", 1, event::v1::ALLOWED);
  worker_->Start();
  auto request = Request("provider");
  request.mutable_hunt()->mutable_rule()->set_text(
      "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c009\nlogsource: {product: acme}\n"
      "detection: {s: {a|expand: '%Our_Values%'}, condition: s}\n");
  for (const auto* tenant : {"acme", "globex"}) request.add_tenants(tenant);
  const auto hunt = handlers_->Create(StaffCall(), request);
  ASSERT_THAT(hunt, IsOk());
  ASSERT_TRUE(IsDone(hunt->name()));
  EXPECT_EQ(ResultIn("acme", hunt->name()).passed().count(), 1U);
  const auto globex = ResultIn("globex", hunt->name());
  EXPECT_EQ(globex.state(), v1::FAILED);
  EXPECT_THAT(globex.error(), HasSubstr("have no value for this tenant: %Our_Values%"));
  // A name that nobody has set is refused, with those that there are.
  request.mutable_hunt()->mutable_rule()->set_text(
      "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c009\nlogsource: {product: acme}\n"
      "detection: {s: {a|expand: '%nobodys%'}, condition: s}\n");
  EXPECT_THAT(std::string(Message(handlers_->Create(StaffCall(), request).status())),
              HasSubstr("%nobodys% has no value; those that have: our-values"));
}

}  // namespace
}  // namespace yagura::detection
