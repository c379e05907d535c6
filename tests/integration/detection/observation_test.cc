// Hours of tenants are judged by the worker: over a real Redis, killed at any time, and with what
// the other services would answer.
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <random>
#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "common/redis/pool.h"
#include "common/stream/worker.h"
#include "common/testing/call_builder.h"
#include "common/testing/eventually.h"
#include "common/testing/fake_clock.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/detection/api/observation_handlers.h"
#include "services/detection/storage/kinds.h"
#include "services/detection/workers/observation_worker.h"

namespace yagura::detection {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

const stream::Topic kFindings{"findings", 2, {"notification"}};
const std::string kHostile = "fw\" OR 1=1 -- \x1b[31m</td>";

int64_t HourOf(TimePoint time) {
  return std::chrono::floor<hours>(time).time_since_epoch().count();
}
// Ten o'clock of a Monday in Tokyo is over, and a quarter of an hour.
const TimePoint kNow = *ParseTime("2026-11-23T02:16:00Z");
const int64_t kHour = HourOf(kNow) - 1;

std::string Ip(int a, int b, int c, int d) {
  return {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c), static_cast<char>(d)};
}

// Two devices with a few denies an hour, the same at each question; surprises where a test says so.
class Archive final : public ObservationData {
 public:
  absl::StatusOr<Zones> ZonesOf(const std::string& tenant) const override {
    if (tenant == "gone") return NotFound("tenants/gone");
    return Zones{"Asia/Tokyo", {{"berlin", "Europe/Berlin"}}};
  }
  absl::Status ReadHours(const std::string& /*tenant*/, const std::vector<HourRange>& ranges,
                         const std::string& device, ObservedHours* out) const override {
    if (away) return Unavailable("EVENT_STORE_DOWN", "away");
    out->SetKnownSince(0);
    for (const HourRange& range : ranges) {
      for (int64_t hour = range.first; hour <= range.last; ++hour) {
        for (const std::string& name : {std::string("fw-1"), kHostile}) {
          if (!device.empty() && device != name) continue;
          archive::v1::HourlyMeasures measures;
          measures.set_site("hq");
          measures.set_device(name);
          measures.mutable_start_time()->set_seconds(hour * 3600);
          measures.set_event_count(1000);
          const auto surprise = surprises.find({name, hour});
          measures.set_deny_count(surprise == surprises.end() ? 50 + static_cast<uint64_t>(hour % 7)
                                                              : surprise->second);
          out->Add(measures);
          coverage::v1::Coverage coverage;
          coverage.set_site("hq");
          coverage.set_device(name);
          coverage.set_line_count(1000);
          coverage.mutable_start_time()->set_seconds(hour * 3600);
          if (hour == flawed) coverage.set_lost_count(3);
          out->Add(coverage);
        }
      }
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<v1::Contributor>> Contributors(const std::string& /*tenant*/,
                                                            const DeviceKey& /*device*/,
                                                            const MeasureFacts& /*measure*/,
                                                            int64_t /*hour*/) const override {
    v1::Contributor contributor;
    contributor.set_field("src.ip");
    contributor.set_value("192.0.2.66");
    contributor.set_amount(900);
    return std::vector<v1::Contributor>{contributor};
  }
  absl::StatusOr<std::vector<v1::Evidence>> EventsOf(
      const std::string& /*tenant*/, const EventsQuestion& question) const override {
    if (!events_status.ok()) return events_status;
    // The question must be one that archive understands.
    const auto filter = filter::Filter::Parse(question.filter, filter::EventSchema());
    EXPECT_THAT(filter, IsOk()) << question.filter;
    std::vector<v1::Evidence> found;
    for (int i = 0; i < question.most && filter.ok(); ++i) {
      event::v1::Event event = events;
      const TimePoint received = received_at ? *received_at : question.start;
      *event.mutable_receive_time() = ToProto(received + std::chrono::minutes(i));
      *event.mutable_event_time() = ToProto(received + std::chrono::minutes(i) - late);
      const TimePoint time = FromProto(
          question.basis == archive::v1::HAPPENED ? event.event_time() : event.receive_time());
      event.set_id(fmt::format("e-{}-{}", HourOf(question.start), i));
      const bool is_within = question.start <= time && time < question.end;
      if (is_within && filter->Matches(event)) found.push_back(EventEvidence(event));
    }
    return found;
  }
  absl::StatusOr<std::vector<v1::KnownCause>> Causes(const std::string& /*tenant*/,
                                                     const std::string& /*device*/,
                                                     TimePoint /*start*/,
                                                     TimePoint /*end*/) const override {
    return causes;
  }
  // A day's flows are answered by their first time, as archive's filter would.
  absl::StatusOr<std::vector<archive::v1::Flow>> Flows(
      const std::string& /*tenant*/, const archive::v1::ListFlowsRequest& request) const override {
    const bool before = request.filter().find("first_time <") != std::string::npos &&
                        request.filter().find("first_time >=") == std::string::npos;
    if (!request.group_by().empty()) return servers;
    return before ? known : fresh;
  }
  absl::StatusOr<std::vector<archive::v1::PeriodicFlow>> PeriodicFlows(
      const std::string& /*tenant*/,
      const archive::v1::ListPeriodicFlowsRequest& /*request*/) const override {
    return periodic;
  }

  event::v1::Event events;               // what all of them are
  hours late{0};                         // happened so long before they came
  std::optional<TimePoint> received_at;  // the first of them; where that is asked about otherwise
  absl::Status events_status;            // of a question for them
  bool away = false;
  int64_t flawed = 0;
  std::map<std::pair<std::string, int64_t>, uint64_t> surprises;
  std::vector<v1::KnownCause> causes;
  std::vector<archive::v1::Flow> fresh;
  std::vector<archive::v1::Flow> known;
  std::vector<archive::v1::Flow> servers;
  std::vector<archive::v1::PeriodicFlow> periodic;
};

// Everything of one process.
struct Process {
  Process(std::shared_ptr<redis::Pool> redis, std::shared_ptr<const ObservationData> data,
          std::shared_ptr<const Clock> clock, const std::string& instance = "",
          milliseconds settle = {})
      : pool(std::move(redis)),
        findings(pool, FindingKind(), SystemClock()),
        policies(pool, ObservationPolicyKind(), SystemClock()),
        placeholders(pool, PlaceholderKind(), SystemClock()),
        worker({pool, std::move(data),
                std::make_shared<FindingSink>(
                    findings, std::make_shared<stream::Producer>(pool, kFindings,
                                                                 stream::Producer::Options{})),
                policies, placeholders, std::move(clock), Logger::Null()},
               {.settle = settle,
                .gone = hours(1),  // the clock of tests jumps
                .look_for_tenants = milliseconds(20),
                .instance = instance}) {}

  std::shared_ptr<redis::Pool> pool;
  store::Store<v1::Finding> findings;
  store::Store<v1::ObservationPolicy> policies;
  store::Store<v1::Placeholder> placeholders;
  ObservationWorker worker;
};

// Hours with surprises: one here and there, and a stretch of ten.
std::shared_ptr<Archive> ManySurprises() {
  auto data = std::make_shared<Archive>();
  for (int64_t back = 0; back < 60; ++back) {
    if (back % 17 == 3 || (back > 30 && back < 41)) {
      data->surprises[{"fw-1", kHour - back}] = 5'000 + static_cast<uint64_t>(back);
    }
    if (back % 29 == 5) data->surprises[{kHostile, kHour - back}] = 3'000;
  }
  return data;
}

// Not a test: the process that the test below kills.
TEST(ObservationChild, DISABLED_Run) {
  const char* redis = std::getenv("YAGURA_TEST_REDIS");
  if (redis == nullptr) GTEST_SKIP() << "runs within other tests";
  redis::Endpoint endpoint;
  endpoint.address = redis;
  const auto clock = std::make_shared<testing::FakeClock>(kNow);
  Process process(std::make_shared<redis::Pool>(endpoint, 8), ManySurprises(), clock, "child");
  process.worker.Start();
  // Until it is killed, or nobody is there any more who would.
  ::alarm(300);
  ::pause();
}

class ObservationTest : public ::testing::Test {
 protected:
  ObservationTest() { Prepare(); }

  void Prepare() {
    ASSERT_THAT(pool_->Command({"FLUSHALL"}), IsOk());
    ASSERT_THAT(stream::DeclareReaders(*pool_, kFindings), IsOk());
    for (const char* tenant : {"acme", "provider"}) {
      ASSERT_THAT(store::RegisterTenant(*pool_, tenant), IsOk());
    }
  }
  std::unique_ptr<Process> NewProcess() const {
    return std::make_unique<Process>(redis_.NewPool(), data_, clock_);
  }
  // Until nothing is due.
  static void JudgeAll(Process& process, const std::string& tenant = "acme") {
    while (true) {
      const auto judged = process.worker.JudgeNext(tenant);
      ASSERT_THAT(judged, IsOk());
      if (!*judged) return;
    }
  }
  std::vector<v1::Finding> Findings() const {
    std::vector<v1::Finding> all;
    const store::Store<v1::Finding> findings(pool_, FindingKind(), SystemClock());
    EXPECT_THAT(findings.ForEach("acme",
                                 [&all](const v1::Finding& finding) {
                                   all.push_back(finding);
                                   return absl::OkStatus();
                                 }),
                IsOk());
    return all;
  }
  // Without what differs from run to run.
  std::set<std::string> FindingTexts() const {
    std::set<std::string> texts;
    for (v1::Finding finding : Findings()) {
      finding.clear_etag();
      finding.clear_create_time();
      finding.clear_update_time();
      texts.insert(finding.DebugString());
    }
    return texts;
  }
  // The tenant has been judged so far back.
  void BeginAt(int64_t hour, const std::string& tenant = "acme") {
    internal::v1::ObservationState state;
    state.set_last_hour(hour);
    ASSERT_THAT(ObservationStore(pool_).Save(tenant, 0, state), IsOk());
  }
  int64_t LastHour() const {
    const auto state = ObservationStore(pool_).Load("acme");
    return state.ok() ? state->last_hour() : -1;
  }
  void SetPlaceholder(const char* id, const std::string& value) {
    store::Store<v1::Placeholder> placeholders(pool_, PlaceholderKind(), SystemClock());
    v1::Placeholder placeholder;
    placeholder.set_name(fmt::format("tenants/acme/placeholders/{}", id));
    placeholder.add_values(value);
    ASSERT_THAT(placeholders.Create({.principal = "test", .method = "test"}, placeholder), IsOk());
  }

  testing::RedisServer redis_;
  std::shared_ptr<redis::Pool> pool_ = redis_.NewPool();
  std::shared_ptr<Archive> data_ = std::make_shared<Archive>();
  std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>(kNow);
};

TEST_F(ObservationTest, AnHourThatDiffersIsAFindingWithItsCauses) {
  data_->surprises[{"fw-1", kHour}] = 4'000;
  data_->flawed = kHour - 1;
  v1::KnownCause cause;
  cause.set_kind(v1::KnownCause::SIGNATURE_UPDATE);
  cause.set_text("the device told of an update of its signatures");
  data_->causes = {cause};
  const auto process = NewProcess();
  JudgeAll(*process);
  const auto findings = Findings();
  ASSERT_THAT(findings, SizeIs(1));
  const v1::Finding& finding = findings[0];
  EXPECT_EQ(finding.title(), "Far more denied connections than usual");
  EXPECT_EQ(finding.device(), "fw-1");
  EXPECT_EQ(finding.deviation().observed(), 4'000);
  EXPECT_NEAR(finding.deviation().expected(), 53, 4);
  EXPECT_EQ(finding.deviation().local_hour(), "Mon 2026-11-23 10:00");
  ASSERT_EQ(finding.deviation().causes_size(), 2);
  EXPECT_EQ(finding.deviation().causes(1).kind(), v1::KnownCause::LOG_OUTAGE);
  EXPECT_EQ(finding.deviation().contributors(0).value(), "192.0.2.66");
  EXPECT_EQ(finding.severity(), event::v1::LOW);
  EXPECT_EQ(FromProto(finding.first_event_time()), TimePoint(hours(kHour)));
  EXPECT_EQ(LastHour(), kHour);
  JudgeAll(*process);
  EXPECT_THAT(Findings(), SizeIs(1));
}

TEST_F(ObservationTest, FindingsCarryEventsOfWhoBroughtMostOfItAbout) {
  data_->events.set_site("hq");
  data_->events.set_device("fw-1");
  data_->events.set_action(event::v1::BLOCKED);
  data_->events.set_raw("deny 192.0.2.66 -> 10.1.0.5");
  data_->events.mutable_src()->set_ip(Ip(192, 0, 2, 66));
  data_->events.mutable_dst()->set_ip(Ip(10, 1, 0, 5));
  data_->surprises[{"fw-1", kHour}] = 4'000;
  JudgeAll(*NewProcess());
  const auto findings = Findings();
  ASSERT_THAT(findings, SizeIs(1));
  ASSERT_THAT(findings[0].evidence(), SizeIs(5));
  EXPECT_THAT(findings[0].evidence(0).raw(), HasSubstr("192.0.2.66"));
  EXPECT_EQ(findings[0].action(), event::v1::BLOCKED);
  // They say nothing of this device; the finding is told all the same.
  Prepare();
  data_->surprises[{kHostile, kHour}] = 4'000;
  data_->events_status = absl::ResourceExhaustedError("too much at once");
  JudgeAll(*NewProcess());
  ASSERT_THAT(Findings(), SizeIs(2));
  for (const auto& finding : Findings()) EXPECT_THAT(finding.evidence(), SizeIs(0));
  Prepare();
  data_->events_status = Unavailable("EVENT_STORE_DOWN", "away");
  EXPECT_THAT(NewProcess()->worker.JudgeNext("acme"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ObservationTest, AnHourIsJudgedOnceItIsOverAndLate) {
  data_->surprises[{"fw-1", kHour + 1}] = 4'000;
  const auto process = NewProcess();
  JudgeAll(*process);
  EXPECT_EQ(LastHour(), kHour);
  clock_->Advance(std::chrono::minutes(58));
  JudgeAll(*process);
  EXPECT_EQ(LastHour(), kHour);
  clock_->Advance(std::chrono::minutes(1));
  JudgeAll(*process);
  EXPECT_EQ(LastHour(), kHour + 1);
  EXPECT_THAT(Findings(), SizeIs(1));
}

TEST_F(ObservationTest, TimersJudgeEveryTenantHourByHour) {
  data_->surprises[{kHostile, kHour + 1}] = 4'000;
  const auto process = NewProcess();
  process->worker.Start();
  ASSERT_TRUE(Eventually([this] { return LastHour() == kHour; }));
  clock_->Advance(hours(1));
  ASSERT_TRUE(Eventually([this] { return LastHour() == kHour + 1; }));
  process->worker.Stop();
  const auto findings = Findings();
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].device(), kHostile);
  EXPECT_THAT(findings[0].description(), ::testing::Not(HasSubstr("\x1b")));
}

TEST_F(ObservationTest, WhatCannotBeAskedIsJudgedLater) {
  data_->surprises[{"fw-1", kHour}] = 4'000;
  data_->away = true;
  const auto process = NewProcess();
  EXPECT_THAT(process->worker.JudgeNext("acme"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(LastHour(), 0);
  data_->away = false;
  JudgeAll(*process);
  EXPECT_THAT(Findings(), SizeIs(1));
  EXPECT_THAT(process->worker.JudgeNext("gone"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ObservationTest, ADeviationThatGoesOnIsOneFindingThatGrows) {
  for (int64_t hour = kHour - 9; hour <= kHour; ++hour) data_->surprises[{"fw-1", hour}] = 4'000;
  BeginAt(kHour - 12);
  const auto process = NewProcess();
  JudgeAll(*process);
  const auto findings = Findings();
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].event_count(), 10u);
  EXPECT_EQ(FromProto(findings[0].first_event_time()), TimePoint(hours(kHour - 9)));
  // All events behind it can be searched.
  const v1::EventSearch& search = findings[0].search();
  EXPECT_EQ(search.basis(), archive::v1::HAPPENED);
  EXPECT_EQ(FromProto(search.start_time()), TimePoint(hours(kHour - 9)));
  EXPECT_EQ(FromProto(search.end_time()), TimePoint(hours(kHour + 1)));
  const auto filter = filter::Filter::Parse(search.filter(), filter::EventSchema());
  ASSERT_THAT(filter, IsOk()) << search.filter();
  event::v1::Event event;
  event.set_site("hq");
  event.set_device("fw-1");
  event.set_action(event::v1::BLOCKED);
  EXPECT_TRUE(filter->Matches(event));
  event.set_device("fw-2");
  EXPECT_FALSE(filter->Matches(event));
}

TEST_F(ObservationTest, HoursOfADownTimeAreJudgedOnceEachWhenLateLinesHadTime) {
  BeginAt(kHour - 6);
  data_->surprises[{"fw-1", kHour - 1}] = 4'000;
  Process process(redis_.NewPool(), data_, clock_, "", std::chrono::minutes(15));
  process.worker.Start();
  for (int i = 0; i < 3; ++i) {
    const auto judged = process.worker.JudgeNext("acme");
    ASSERT_THAT(judged, IsOk());
    EXPECT_FALSE(*judged);
    clock_->Advance(std::chrono::minutes(4));
  }
  EXPECT_EQ(LastHour(), kHour - 6);
  data_->surprises[{"fw-1", kHour - 4}] = 4'000;  // a relay brings what it has kept
  clock_->Advance(std::chrono::minutes(20));
  ASSERT_TRUE(Eventually([this] { return LastHour() == kHour; }));
  process.worker.Stop();
  JudgeAll(process);
  const auto findings = Findings();
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].event_count(), 2u);
  EXPECT_EQ(FromProto(findings[0].first_event_time()), TimePoint(hours(kHour - 4)));
}

TEST_F(ObservationTest, HoursOfATenantThatCouldNotBeAskedAboutWaitInWhicheverProcess) {
  BeginAt(kHour - 3);
  BeginAt(kHour - 3, "globex");
  const milliseconds settle = std::chrono::minutes(15);
  data_->away = true;
  {
    Process process(redis_.NewPool(), data_, clock_, "", settle);
    process.worker.Start();
    clock_->Advance(settle);
    ASSERT_TRUE(Eventually([&] {
      clock_->Advance(std::chrono::seconds(1));
      const auto settled = ObservationStore(pool_).SettledAt("acme");
      return settled.ok() && *settled > clock_->Now();
    }));
  }
  data_->away = false;
  Process other(redis_.NewPool(), data_, clock_, "", settle);
  auto judged = other.worker.JudgeNext("acme");
  ASSERT_THAT(judged, IsOk());
  EXPECT_FALSE(*judged);
  judged = other.worker.JudgeNext("globex");
  ASSERT_THAT(judged, IsOk());
  EXPECT_TRUE(*judged);
  clock_->Advance(settle);
  judged = other.worker.JudgeNext("acme");
  ASSERT_THAT(judged, IsOk());
  EXPECT_TRUE(*judged);
}

TEST_F(ObservationTest, AProcessThatIsBegunAgainMakesNobodyWaitButADownTimeDoes) {
  BeginAt(kHour - 1);
  const milliseconds settle = std::chrono::minutes(15);
  const auto run = [&] {
    return std::make_unique<Process>(redis_.NewPool(), data_, clock_, "", settle);
  };
  auto process = run();
  process->worker.Start();
  EXPECT_EQ(LastHour(), kHour - 1);
  clock_->Advance(settle);
  ASSERT_TRUE(Eventually([this] { return LastHour() == kHour; }));
  clock_->Advance(std::chrono::minutes(43));  // a minute before the next is due
  ASSERT_TRUE(Eventually([&] {
    const auto seen = pool_->Command({"HGET", "y:{observation}:detection:observation", "seen"});
    return seen.ok() && TimePoint(milliseconds(std::stoll(seen->text))) == clock_->Now();
  }));
  process = nullptr;
  clock_->Advance(std::chrono::minutes(2));
  process = run();
  process->worker.Start();
  EXPECT_TRUE(Eventually([this] { return LastHour() == kHour + 1; }));
  process = nullptr;
  clock_->Advance(hours(2));
  process = run();
  process->worker.Start();
  const auto judged = process->worker.JudgeNext("acme");
  ASSERT_THAT(judged, IsOk());
  EXPECT_FALSE(*judged);
  clock_->Advance(settle);
  EXPECT_TRUE(Eventually([this] { return LastHour() == kHour + 3; }));
}

TEST_F(ObservationTest, AClockThatIsAheadLetsHoursWaitInOtherProcessesTooButAWrongOneDoesNot) {
  const milliseconds settle = std::chrono::minutes(15);
  const auto ahead = std::make_shared<testing::FakeClock>(clock_->Now() + std::chrono::seconds(1));
  const auto judges = [&](const std::string& tenant, Process& process) {
    const auto judged = process.worker.JudgeNext(tenant);
    EXPECT_THAT(judged, IsOk());
    return judged.ok() && *judged;
  };
  const ObservationStore store(pool_);
  BeginAt(kHour - 3);
  BeginAt(kHour - 3, "globex");
  // A tenant's hours.
  ASSERT_THAT(store.Settle("globex", ahead->Now() + settle), IsOk());
  Process other(redis_.NewPool(), data_, clock_, "", settle);
  EXPECT_FALSE(judges("globex", other));
  EXPECT_TRUE(judges("acme", other));
  ASSERT_THAT(store.Settle("globex", clock_->Now() + hours(1)), IsOk());
  EXPECT_TRUE(judges("globex", other));
  // All tenants', after a down time: of those that start the one that is ahead is first.
  ASSERT_THAT(store.Run(ahead->Now(), hours(1), settle), IsOk());
  other.worker.Start();
  EXPECT_FALSE(judges("acme", other));
  other.worker.Stop();
  EXPECT_EQ(LastHour(), kHour - 2);
  const std::string late = std::to_string(
      std::chrono::duration_cast<milliseconds>((clock_->Now() + hours(1)).time_since_epoch())
          .count());
  ASSERT_THAT(pool_->Command({"HSET", "y:{observation}:detection:observation", "settled", late}),
              IsOk());
  Process another(redis_.NewPool(), data_, clock_, "", settle);
  another.worker.Start();
  EXPECT_TRUE(Eventually([this] { return LastHour() == kHour; }));
}

TEST_F(ObservationTest, HoursThatWereNotJudgedForLongArePassedOver) {
  BeginAt(kHour - 500);
  const auto process = NewProcess();
  ASSERT_THAT(process->worker.JudgeNext("acme"), IsOk());
  EXPECT_EQ(LastHour(), kHour - 72);
}

TEST_F(ObservationTest, KillsAtAnyTimeGiveTheFindingsOfAnUninterruptedRun) {
  data_ = ManySurprises();
  BeginAt(kHour - 60);
  JudgeAll(*NewProcess());
  const std::set<std::string> expected = FindingTexts();
  ASSERT_EQ(expected.size(), 3u);
  const uint32_t seed = std::random_device()();
  std::mt19937 random(seed);
  Prepare();
  BeginAt(kHour - 60);
  int kills = 0;
  const bool done = Eventually([&] {
    testing::Process child(
        {"env", "YAGURA_TEST_REDIS=" + redis_.endpoint().address,
         std::filesystem::read_symlink("/proc/self/exe").string(),
         "--gtest_filter=ObservationChild.DISABLED_Run", "--gtest_also_run_disabled_tests"},
        redis_.folder() / "child.log");
    const int64_t before = LastHour();
    // At some moment while it judges: after a few hours of it.
    const int64_t enough = before + 1 + static_cast<int64_t>(random() % 9);
    Eventually([&] { return LastHour() >= std::min(enough, kHour); });
    child.Kill();
    ++kills;
    return LastHour() == kHour;
  });
  EXPECT_TRUE(done) << "seed " << seed;
  EXPECT_GT(kills, 3);
  EXPECT_EQ(FindingTexts(), expected) << "seed " << seed << ", " << kills << " kills";
}

TEST_F(ObservationTest, APolicySaysWhatIsJudged) {
  data_->surprises[{"fw-1", kHour}] = 4'000;
  const auto process = NewProcess();
  ObservationHandlers handlers(
      process->policies, [](const auto&) { return std::make_unique<const Archive>(); }, clock_);
  const auto call = testing::CallBuilder("detection.observation_policies.update").Build();
  v1::GetObservationPolicyRequest get;
  get.set_name("tenants/acme/observationPolicies/default");
  ASSERT_OK_AND_ASSIGN(const auto standard, handlers.GetPolicy(call, get));
  EXPECT_EQ(standard.weeks(), 8);
  EXPECT_EQ(standard.sensitivity(), v1::ObservationPolicy::NORMAL);
  EXPECT_EQ(standard.measures_size(), 6);
  EXPECT_EQ(standard.etag(), "");

  v1::UpdateObservationPolicyRequest update;
  auto& policy = *update.mutable_observation_policy();
  policy.set_name(get.name());
  policy.add_excluded_devices("fw-1");
  policy.set_weeks(4);
  ASSERT_OK_AND_ASSIGN(const auto set, handlers.UpdatePolicy(call, update));
  EXPECT_NE(set.etag(), "");
  JudgeAll(*process);
  EXPECT_THAT(Findings(), SizeIs(0));
  EXPECT_EQ(LastHour(), kHour);

  policy.set_etag("stale");
  EXPECT_THAT(handlers.UpdatePolicy(call, update), StatusIs(absl::StatusCode::kAborted));
  policy.set_etag(set.etag());
  for (const auto& [wrong, field] :
       std::vector<std::pair<std::function<void(v1::ObservationPolicy&)>, const char*>>{
           {[](auto& p) { p.set_weeks(2); }, "weeks"},
           {[](auto& p) { p.add_special_days("2026-02-30"); }, "special_days"},
           {[](auto& p) { p.add_special_days("2026-02-20=holiday"); }, "special_days"},
           {[](auto& p) { p.add_special_days("2026-02-20 sun"); }, "special_days"},
           {[](auto& p) { p.add_measures(v1::DENIES), p.add_measures(v1::DENIES); }, "measures"},
           {[](auto& p) { p.add_measures(v1::MEASURE_UNSPECIFIED); }, "measures"},
           {[](auto& p) { p.set_reason("a\nb"); }, "reason"},
           {[](auto& p) { p.set_new_destination_days(91); }, "new_destination_days"}}) {
    auto bad = update;
    wrong(*bad.mutable_observation_policy());
    const auto refused = handlers.UpdatePolicy(call, bad);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument)) << field;
    EXPECT_THAT(std::string(Message(refused.status())), HasSubstr(field));
  }
  policy.clear_excluded_devices();
  policy.set_disabled(true);
  ASSERT_THAT(handlers.UpdatePolicy(call, update), IsOk());
  clock_->Advance(hours(1));
  JudgeAll(*process);
  EXPECT_EQ(LastHour(), kHour + 1);
}

TEST_F(ObservationTest, AnObservationHasEveryHourWithItsBand) {
  data_->surprises[{"fw-1", kHour - 2}] = 4'000;
  store::Store<v1::ObservationPolicy> policies(pool_, ObservationPolicyKind(), SystemClock());
  ObservationHandlers handlers(
      policies, [this](const auto&) { return std::make_unique<const Archive>(*data_); }, clock_);
  const auto call = testing::CallBuilder("detection.observations.get").Build();
  v1::GetObservationRequest request;
  request.set_parent("tenants/acme");
  request.set_device("fw-1");
  request.set_measure(v1::DENIES);
  *request.mutable_start_time() = ToProto(kNow - hours(24));
  ASSERT_OK_AND_ASSIGN(const auto response, handlers.GetObservation(call, request));
  ASSERT_EQ(response.observations_size(), 1);
  const v1::Observation& observation = response.observations(0);
  EXPECT_EQ(observation.time_zone(), "Asia/Tokyo");
  ASSERT_EQ(observation.points_size(), 25);
  const auto& surprising = observation.points(21);
  EXPECT_EQ(surprising.state(), v1::ObservationPoint::FAR_MORE);
  EXPECT_EQ(surprising.observed(), 4'000);
  EXPECT_LT(surprising.high(), 200);
  EXPECT_EQ(observation.points(20).state(), v1::ObservationPoint::USUAL);
  EXPECT_EQ(observation.points(24).state(), v1::ObservationPoint::RUNNING);
  request.set_measure(v1::MEASURE_UNSPECIFIED);
  ASSERT_OK_AND_ASSIGN(const auto all, handlers.GetObservation(call, request));
  EXPECT_EQ(all.observations_size(), 6);
  request.set_device("");
  EXPECT_THAT(handlers.GetObservation(call, request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_device("fw-1");
  *request.mutable_start_time() = ToProto(kNow - hours(24 * 63));
  EXPECT_THAT(handlers.GetObservation(call, request), StatusIs(absl::StatusCode::kInvalidArgument));
}

archive::v1::Flow MakeFlow(const std::string& dst, TimePoint first) {
  archive::v1::Flow flow;
  flow.set_site("hq");
  flow.set_src_ip(Ip(10, 1, 0, 5));
  flow.set_dst_ip(dst);
  flow.set_dst_port(443);
  flow.set_verdict(event::v1::ALLOWED);
  *flow.mutable_first_time() = ToProto(first);
  return flow;
}

event::v1::Event EventTo(const std::string& dst) {
  event::v1::Event event;
  event.set_site("hq");
  event.set_action(event::v1::ALLOWED);
  event.mutable_src()->set_ip(Ip(10, 1, 0, 5));
  event.mutable_dst()->set_ip(dst);
  event.mutable_dst()->set_port(443);
  return event;
}

TEST_F(ObservationTest, ADestinationIsNewWhereTheServerIsKnownForLongEnough) {
  SetPlaceholder("servers", "10.1.0.0/24");
  SetPlaceholder("server-destinations", "198.51.100.0/24");
  const TimePoint at{hours(kHour)};
  data_->fresh = {MakeFlow(Ip(203, 0, 113, 1), at), MakeFlow(Ip(203, 0, 113, 2), at),
                  MakeFlow(Ip(198, 51, 100, 1), at)};
  data_->known = {MakeFlow(Ip(203, 0, 113, 2), at - hours(24))};  // by another port
  data_->servers = {MakeFlow("", at - hours(24 * 10))};
  JudgeAll(*NewProcess());
  EXPECT_THAT(Findings(), SizeIs(0)) << "known for ten days alone";
  Prepare();
  SetPlaceholder("servers", "10.1.0.0/24");
  SetPlaceholder("server-destinations", "198.51.100.0/24");
  data_->servers = {MakeFlow("", at - hours(24 * 16))};
  data_->events = EventTo(Ip(203, 0, 113, 1));
  data_->received_at = at;
  data_->late = hours(2);  // as a relay delivers
  JudgeAll(*NewProcess());
  const auto findings = Findings();
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_THAT(findings[0].evidence(), SizeIs(5));
  EXPECT_THAT(findings[0].description(), HasSubstr("203.0.113.1"));
  EXPECT_THAT(findings[0].description(), ::testing::Not(HasSubstr("203.0.113.2")));
  EXPECT_THAT(findings[0].search().filter(), HasSubstr("dst.ip = 203.0.113.1"));
  EXPECT_EQ(findings[0].search().basis(), archive::v1::RECEIVED);
  EXPECT_EQ(FromProto(findings[0].search().start_time()), at);
}

TEST_F(ObservationTest, BeaconsAreLookedForEverySixHoursAndMayBeAllowed) {
  archive::v1::PeriodicFlow flow;
  flow.set_site("hq");
  flow.set_src_ip(Ip(10, 1, 0, 5));
  flow.set_dst_ip(Ip(203, 0, 113, 9));
  flow.set_dst_port(443);
  flow.set_event_count(200);
  flow.set_call_count(200);
  flow.set_median_interval_seconds(300);
  *flow.mutable_first_time() = ToProto(kNow - hours(17));
  *flow.mutable_last_time() = ToProto(kNow);
  data_->periodic = {flow};
  data_->events = EventTo(Ip(203, 0, 113, 9));
  BeginAt(kHour - 13);
  JudgeAll(*NewProcess());
  const auto findings = Findings();
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].event_count(), 2u) << "two looks";
  EXPECT_THAT(findings[0].evidence(), SizeIs(10));
  EXPECT_EQ(findings[0].severity(), event::v1::MEDIUM);
  EXPECT_EQ(findings[0].search().basis(), archive::v1::RECEIVED) << "as they were looked for";
  Prepare();
  SetPlaceholder("steady-destinations", "203.0.113.9");
  BeginAt(kHour - 13);
  JudgeAll(*NewProcess());
  EXPECT_THAT(Findings(), SizeIs(0));
}

}  // namespace
}  // namespace yagura::detection
