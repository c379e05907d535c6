// Rules that change while events come in and the detection process is killed: what is found depends
// on the stream alone.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <thread>

#include "common/event/control.h"
#include "common/stream/readers.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "tests/integration/detection/pipeline_fixture.h"
#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {
namespace {

using std::chrono::milliseconds;
using testing::Eventually;

constexpr std::chrono::seconds kTestTime{15};
constexpr std::string_view kVips = R"(title: One of the few failed
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c021
logsource: {product: acme}
detection: {s: {what: failed, who|expand: '%vips%'}, condition: s}
)";
constexpr std::string_view kNotQuiet = R"(title: Not of the quiet
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c022
logsource: {product: acme}
filter: {rules: any, selection: {who|expand: '%quiet%'}, condition: not selection}
)";
const std::vector<std::string> kNames = {"4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002",
                                         "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003"};

// Not a test: the detection process, for the test below to kill. It looks for changed rules all the
// time, as if told by the change feed.
TEST(DetectionChild, DISABLED_Run) {
  const char* redis = std::getenv("YAGURA_TEST_REDIS");
  if (redis == nullptr) GTEST_SKIP() << "runs within other tests";
  redis::Endpoint endpoint;
  endpoint.address = redis;
  Process process(std::make_shared<redis::Pool>(endpoint, 16));
  const auto start = [&](const stream::Topic& topic, auto& handler) {
    stream::Worker::Options options;
    options.reader = topic.readers[0];
    options.lease = milliseconds(60);
    options.max_entries = 3;
    auto worker = std::make_unique<stream::Worker>(
        process.pool, topic, options,
        [&handler](const auto& context, const auto& entries) {
          return handler.Handle(context, entries);
        },
        nullptr, Logger::Null());
    worker->Start();
    return worker;
  };
  const auto match = start(kEvents, process.match);
  const auto window = start(kHits, process.window);
  while (true) {
    EXPECT_THAT(process.rule_book->Reload(), IsOk());
    EXPECT_THAT(process.rule_sets->Prune(), IsOk());
    std::this_thread::sleep_for(milliseconds(2));
  }
}

class RuleSetSwitchTest : public DetectionPipelineTest {
 protected:
  std::unique_ptr<testing::Process> StartChild() const {
    return std::make_unique<testing::Process>(
        std::vector<std::string>{"env", "YAGURA_TEST_REDIS=" + redis_.endpoint().address,
                                 std::filesystem::read_symlink("/proc/self/exe").string(),
                                 "--gtest_filter=DetectionChild.DISABLED_Run",
                                 "--gtest_also_run_disabled_tests"},
        redis_.folder() / "child.log");
  }

  static store::WriteContext Context() { return {.principal = "test", .method = "test"}; }

  // Rules that count to the end of windows, and such as are others for a tenant.
  void AddMoreRules() {
    AddRule(kFew);
    store::Store<v1::Rule> rules(pool_, RuleResourceKind(), SystemClock());
    for (const std::string_view text : {kVips, kNotQuiet}) {
      v1::Rule rule;
      rule.set_text(std::string(text));
      rule.set_enabled(true);
      const auto parsed = CompleteRule(rule, {{"", {std::string(kAnyValue)}}});
      ASSERT_THAT(parsed, IsOk());
      rule.set_name(RuleName("provider", *parsed));
      ASSERT_THAT(rules.Create(Context(), rule), IsOk());
    }
  }

  template <typename Message>
  void Put(const store::Kind& kind, const Message& wanted) {
    store::Store<Message> kept(pool_, kind, SystemClock());
    const auto put = [&wanted](Message& message) {
      const std::string etag = message.etag();
      message = wanted;
      message.set_etag(etag);
      return absl::OkStatus();
    };
    auto changed = kept.Mutate(Context(), wanted.name(), put);
    if (changed.status().code() == absl::StatusCode::kNotFound) {
      changed = kept.Create(Context(), wanted);
    }
    ASSERT_THAT(changed, IsOk());
  }

  // Other values of a placeholder, other numbers of a tenant, a filter on or off.
  void SwapSettings(std::mt19937& random) {
    const uint32_t what = random() % 4;
    const uint32_t variant = random() % 3;
    if (what < 2) {
      v1::Placeholder placeholder;
      placeholder.set_name(what == 0 ? "tenants/acme/placeholders/vips"
                                     : "tenants/provider/placeholders/quiet");
      placeholder.add_values(fmt::format("d?-user{}", variant));
      if (what == 1) placeholder.add_values(fmt::format("d{}-host", variant));
      Put(PlaceholderKind(), placeholder);
    } else if (what == 2) {
      v1::RuleTuning tuning;
      tuning.set_name("tenants/acme/ruleTunings/" + kNames[0]);
      tuning.set_severity(static_cast<event::v1::Severity>(2 + variant));
      if (variant > 0) tuning.set_count(2 + variant);
      if (random() % 4 == 0) tuning.set_match(v1::RuleTuning::OFF);
      Put(RuleTuningKind(), tuning);
    } else {
      store::Store<v1::Rule> rules(pool_, RuleResourceKind(), SystemClock());
      const bool on = variant > 0;
      ASSERT_THAT(
          rules.Mutate(Context(), "tenants/provider/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c022",
                       [on](v1::Rule& rule) {
                         rule.set_enabled(on);
                         return absl::OkStatus();
                       }),
          IsOk());
    }
  }

  // Another threshold, another title, off and on again, or other settings.
  void SwapRules(std::mt19937& random) {
    if (random() % 2 == 0) return SwapSettings(random);
    store::Store<v1::Rule> rules(pool_, RuleResourceKind(), SystemClock());
    const uint32_t what = random() % 4;
    const uint32_t variant = random() % 5;
    const bool count = what < 2;
    const auto change = [&](v1::Rule& rule) {
      std::string text(count ? kBruteForce : kMalware);
      if (count) text.replace(text.find("gte: 5"), 6, fmt::format("gte: {}", 2 + variant));
      if (!count) text.replace(text.find("Malware"), 7, fmt::format("Malware {}", variant));
      rule.set_text(text);
      rule.set_enabled(what != 3 || variant != 0);
      return CompleteRule(rule).status();
    };
    ASSERT_THAT(rules.Mutate({.principal = "test", .method = "test"},
                             "tenants/provider/rules/" + kNames[count ? 0 : 1], change),
                IsOk());
  }

  // Of one device; some events come up to a minute late.
  static void ProduceLate(stream::Producer& producer, int number, std::mt19937& random,
                          int second) {
    const int device = number % 2;
    const std::string batch_id = event::BatchIdOf({fmt::format("{}", number)});
    event::BatchBuilder builder(
        {"acme", batch_id, TimePoint(std::chrono::seconds(1'700'000'000 + second))});
    const auto count = 1 + random() % 5;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t what = random() % 12;
      const std::string who = what == 0 ? fmt::format("d{}-host", device)
                                        : fmt::format("d{}-user{}", device, random() % 3);
      auto event = MakeEvent(second, what == 0 ? "malware" : what < 8 ? "failed" : "fine", who);
      const int64_t late = random() % 3 == 0 ? static_cast<int64_t>(random() % 60) : 0;
      event.mutable_event_time()->set_seconds(event.event_time().seconds() - late);
      event.set_raw(fmt::format("{} {} {}", event.raw(), number, i));
      builder.Add(event);
    }
    ASSERT_THAT(producer.Append(device, batch_id, builder.Finish()), IsOk());
  }

  // Sends the events while rules change and the process is killed; returns once all is done.
  void RunWithSwapsAndKills(std::mt19937& random) {
    stream::Producer producer(pool_, kEvents, {});
    AddMoreRules();
    auto child = StartChild();
    for (int number = 0; number < 60; ++number) {
      if (random() % 4 == 0) SwapRules(random);
      if (random() % 16 == 0) {
        child->Kill();
        if (random() % 2 == 0) SwapRules(random);
        child = StartChild();
      }
      ProduceLate(producer, number, random, number * 7);
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 12000));
    }
    // So that all windows before have ended.
    for (int number = 60; number < 62; ++number) ProduceLate(producer, number, random, 9000);
    EXPECT_TRUE(Eventually([&] {
      for (const auto& topic : {kEvents, kHits}) {
        if (stream::ReaderLag(*pool_, topic, topic.readers[0]).value_or(1) > 0) return false;
      }
      return true;
    }));
    child->Kill();
  }

  // Everything is gone but the event streams, from their first entry, and the rule sets.
  void ForgetAllButTheStream() {
    std::map<std::string, std::string> kept = {{"y:{rules}:detection:rule-sets", ""}};
    for (int shard = 0; shard < kEvents.shards; ++shard) {
      kept[stream::StreamKey("events", shard)];
    }
    for (auto& [key, dump] : kept) {
      const auto reply = pool_->Command({"DUMP", key});
      ASSERT_THAT(reply, IsOk());
      dump = reply->text;
    }
    ASSERT_THAT(pool_->Command({"FLUSHALL"}), IsOk());
    for (const auto& [key, dump] : kept) {
      ASSERT_THAT(pool_->Command({"RESTORE", key, "0", dump}), IsOk());
    }
    for (const auto& topic : {kEvents, kHits, kFindings}) {
      ASSERT_THAT(stream::DeclareReaders(*pool_, topic), IsOk());
    }
    for (int shard = 0; shard < kEvents.shards; ++shard) {
      const std::string stream = stream::StreamKey("events", shard);
      ASSERT_THAT(pool_->Command({"XGROUP", "SETID", stream, "detection", "0"}), IsOk());
      for (const auto& [id, version] : Announced(shard)) {
        const std::string index = fmt::format("y:{{s{}}}:detection:rule-sets", shard);
        ASSERT_THAT(pool_->Command({"XADD", index, id.ToString(), "v", version}), IsOk());
      }
    }
  }

  // The control entries of a shard.
  std::vector<std::pair<stream::EntryId, std::string>> Announced(int shard) {
    std::vector<std::pair<stream::EntryId, std::string>> announced;
    auto cursor =
        LeasedCursor::Acquire(pool_, kEvents, shard, {"look", "test", std::chrono::minutes(10)});
    EXPECT_THAT(cursor, IsOk());
    const auto entries = cursor->ReadRange({}, {UINT64_MAX, 0});
    EXPECT_THAT(entries, IsOk());
    for (const auto& entry : *entries) {
      if (const auto version = event::ControlBody(entry.payload, kRuleSetControl)) {
        announced.emplace_back(entry.id, *version);
      }
    }
    return announced;
  }

  void Replay() {
    Process process(pool_, false);
    for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
    for (int shard = 0; shard < 2; ++shard) Drain(kHits, shard, Window, process);
  }

  std::shared_ptr<redis::Pool> pool_ = redis_.NewPool();
};

// YAGURA_SEED begins at a seed that a failure printed; YAGURA_SEEDS runs so many instead of as many
// as fit into the test's time.
TEST_F(RuleSetSwitchTest, KillsAndSwapsGiveTheFindingsOfAnUninterruptedRun) {
  const auto number = [](const char* name) {
    const char* given = std::getenv(name);
    return given == nullptr ? 0UL : std::strtoul(given, nullptr, 10);
  };
  const uint64_t first =
      number("YAGURA_SEED") != 0 ? number("YAGURA_SEED") : std::random_device()();
  const uint64_t wanted = number("YAGURA_SEEDS");
  const auto start = std::chrono::steady_clock::now();
  uint64_t done = 0;
  size_t switches = 0;
  for (; wanted > 0 ? done < wanted : std::chrono::steady_clock::now() - start < kTestTime;
       ++done) {
    const uint64_t seed = first + done;
    SCOPED_TRACE(fmt::format("YAGURA_SEED={}", seed));
    std::mt19937 random(static_cast<uint32_t>(seed));
    Prepare();
    RunWithSwapsAndKills(random);
    const auto found = Findings();
    EXPECT_FALSE(found.empty());
    ForgetAllButTheStream();
    for (int shard = 0; shard < 2; ++shard) switches += Announced(shard).size();
    Replay();
    EXPECT_EQ(found, Findings());
    if (HasFailure()) break;
  }
  std::cout << fmt::format("{} seeds from YAGURA_SEED={}, {} switches\n", done, first, switches);
  EXPECT_GT(switches, 4 * done);
}

TEST_F(RuleSetSwitchTest, ASetIsInForceFromItsControlEntryOn) {
  stream::Producer producer(pool_, kEvents, {});
  const auto disable = [this] {
    store::Store<v1::Rule> rules(pool_, RuleResourceKind(), SystemClock());
    ASSERT_THAT(
        rules.Mutate({.principal = "test", .method = "test"}, "tenants/provider/rules/" + kNames[1],
                     [](v1::Rule& rule) {
                       rule.set_enabled(false);
                       return absl::OkStatus();
                     }),
        IsOk());
  };
  {
    Process first(pool_);
    for (int number = 0; number < 20; ++number) ProduceBatch(producer, number);
    disable();
    ASSERT_THAT(first.rule_book->Reload(), IsOk());
    for (int number = 20; number < 60; ++number) ProduceBatch(producer, number);
  }  // nothing was read yet
  Process second(pool_);
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, second);
  for (int shard = 0; shard < 2; ++shard) Drain(kHits, shard, Window, second);
  uint64_t malware = 0;
  const auto page = second.findings.List({.parent = "tenants/acme"});
  ASSERT_THAT(page, IsOk());
  for (const auto& finding : page->items) {
    if (finding.title() == "Malware") malware += finding.event_count();
  }
  EXPECT_EQ(malware, 2U);  // batches 0 and 13
}

TEST_F(RuleSetSwitchTest, TheFirstSetTakesEventsThatCameBeforeIt) {
  Produce();
  const std::vector<stream::Entry> none;
  auto process = std::make_unique<Process>(pool_, false);
  {
    LeasedCursor cursor = Take(kEvents, 0);
    const auto entries = cursor.Read(4, 1 << 20, {});
    ASSERT_THAT(entries, IsOk());
    EXPECT_THAT(process->match.Handle({0, cursor.epoch()}, *entries),
                StatusIs(absl::StatusCode::kUnavailable, "NO_RULE_SET"));
  }
  ASSERT_THAT(process->rule_book->Reload(), IsOk());
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, *process);
  for (int shard = 0; shard < 2; ++shard) Drain(kHits, shard, Window, *process);
  EXPECT_EQ(Findings().size(), 10U);
}

TEST_F(RuleSetSwitchTest, ASetIsKeptAsLongAsAnUnreadEntryMayReferToIt) {
  RuleSetStore sets(pool_, kEvents, "detection", milliseconds(0));
  const auto save = [&](const std::string& text) {
    const std::vector<RuleSetItem> items = {{"", DigestOf(text)}, {"acme", DigestOf("shared")}};
    const std::string version = RuleSetVersion(items);
    EXPECT_THAT(sets.Save(version, items, {text, "shared"}), IsOk());
    EXPECT_THAT(sets.Announce(version), IsOk());
    return version;
  };
  const std::string first = save("one");
  const std::string second = save("two");
  EXPECT_EQ(save("two"), second);  // said once
  for (int shard = 0; shard < 2; ++shard) EXPECT_EQ(Announced(shard).size(), 2U);
  ASSERT_THAT(sets.Prune(), IsOk());
  EXPECT_THAT(sets.Items(first), IsOk());

  const auto commit = [&](int shard) {
    LeasedCursor cursor = Take(kEvents, shard);
    ASSERT_THAT(cursor.Commit(Announced(shard).back().first), IsOk());
  };
  commit(0);
  ASSERT_THAT(sets.Prune(), IsOk());
  EXPECT_THAT(sets.Items(first), IsOk()) << "the other shard has not read it";
  commit(1);
  ASSERT_THAT(sets.Prune(), IsOk());
  EXPECT_THAT(sets.Items(first), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(sets.Texts({DigestOf("one")}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(sets.Items(second), IsOk());
  EXPECT_THAT(sets.Texts({DigestOf("two"), DigestOf("shared")}), IsOk());
  EXPECT_EQ(sets.Switches(0)->size(), 1U);
  // The first again is a switch like any other.
  EXPECT_EQ(save("one"), first);
  EXPECT_EQ(sets.Switches(0)->back().version, first);
}

TEST_F(RuleSetSwitchTest, ASetThatWasSavedLatelyIsNotWrittenAgain) {
  constexpr std::string_view kSets = "y:{rules}:detection:rule-sets";
  RuleSetStore sets(pool_, kEvents, "detection", std::chrono::minutes(10));
  const std::vector<RuleSetItem> items = {{"", DigestOf("one")}};
  const std::string version = RuleSetVersion(items);
  const std::string field = "s:" + version;
  const auto save = [&] { ASSERT_THAT(sets.Save(version, items, {"one"}), IsOk()); };
  const auto written = [&] {
    const auto reply = pool_->Command({"HMGET", kSets, "generation", field});
    EXPECT_THAT(reply, IsOk());
    return std::pair(reply->items[0].text, reply->items[1].text);
  };
  const auto age = [&](std::chrono::minutes by) {
    const std::string saved = written().second;
    const size_t end = saved.find('\n');
    const std::string earlier =
        std::to_string(std::stoll(saved.substr(0, end)) - milliseconds(by).count());
    ASSERT_THAT(pool_->Command({"HSET", kSets, field, earlier + saved.substr(end)}), IsOk());
  };
  save();
  age(std::chrono::minutes(4));
  const auto before = written();
  save();
  EXPECT_EQ(written(), before);

  age(std::chrono::minutes(1));
  const auto old = written();
  save();
  EXPECT_NE(written().first, old.first);
  EXPECT_NE(written().second, old.second);

  ASSERT_THAT(pool_->Command({"HDEL", kSets, field}), IsOk());
  save();
  EXPECT_THAT(sets.Items(version), IsOk());
  ASSERT_THAT(pool_->Command({"HDEL", kSets, "t:" + DigestOf("one")}), IsOk());
  save();
  EXPECT_THAT(sets.Texts({DigestOf("one")}), IsOk());
}

}  // namespace
}  // namespace yagura::detection
