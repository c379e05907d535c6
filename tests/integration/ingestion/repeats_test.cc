// The same again: what is known to the streams counts once, what is not the same is never taken for
// it.
#include <fstream>

#include "services/ingestion/domain/coverage_ledger.h"
#include "services/ingestion/workers/record_intake.h"
#include "tests/integration/ingestion/intake_world.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"

namespace yagura::ingestion {
namespace {

constexpr char kA[] = "tenants/acme/sources/a";
constexpr char kB[] = "tenants/acme/sources/b";

std::string LineOf(const std::string& serial) {
  return "<189>date=2026-11-21 time=09:15:42 devid=\"" + serial + "\" logid=\"1\" vd=\"root\"";
}

// The lines of serial "one" are a's; those of "two" are `second`'s.
std::shared_ptr<const SourceMap> MapOf(const char* second) {
  std::vector<directory::v1::Source> sources(2);
  sources[0].set_name(kA);
  sources[0].mutable_match()->set_listener("http");
  sources[1].set_name(second);
  sources[1].mutable_match()->set_listener("http");
  sources[1].mutable_match()->set_device_serial("two");
  if (second == std::string_view(kA)) sources.pop_back();
  return SourceMap::Build(sources, {}, nullptr);
}

class RepeatsTest : public IntakeWorld {
 protected:
  RepeatsTest() {
    ledger_ = std::make_shared<CoverageLedger>("test", "one");
    parts_.metrics = std::make_shared<IngestionMetrics>(registry_, ledger_);
    NewSink();
    parts_.sources->Set(MapOf(kA));
  }

  static std::vector<Record> Records(const std::vector<std::string>& lines) {
    std::vector<Record> records;
    for (const std::string& line : lines) records.emplace_back().line = line;
    return records;
  }
  static RecordSender From(const std::string& id, uint64_t content = 0) {
    RecordSender sender;
    sender.sender = Sender{"http", {}, "tenants/acme/apiKeys/k", {}};
    sender.tenant = "acme";
    sender.batch_id = id;
    sender.content = content;
    return sender;
  }
  uint64_t Counted() {
    uint64_t lines = 0;
    for (const auto& report : ledger_->Collect(parts_.clock->Now())) {
      for (const auto& hour : report.hours()) lines = std::max(lines, hour.lines());
    }
    return lines;
  }
  std::shared_ptr<CoverageLedger> ledger_;
};

TEST_F(RepeatsTest, ARepeatCountsOnceWhoeverTakesIt) {
  RecordIntake intake(parts_);
  ASSERT_THAT(intake.Take(From("b1"), Records({"one", "two"})), IsOk());
  ASSERT_THAT(intake.Take(From("b1"), Records({"one", "two"})), IsOk());
  EXPECT_EQ(Counted(), 2u);
  // Another process, which has never seen it.
  ledger_ = std::make_shared<CoverageLedger>("test", "two");
  parts_.metrics = std::make_shared<IngestionMetrics>(registry_, ledger_);
  NewSink();
  RecordIntake other(parts_);
  ASSERT_THAT(other.Take(From("b1"), Records({"one", "two"})), IsOk());
  EXPECT_EQ(Counted(), 0u);
  EXPECT_EQ(Stored().size(), 2u);
}

TEST_F(RepeatsTest, ARepeatIsKnownWithAndWithoutTls) {
  RecordIntake intake(parts_);
  auto from = From("b1");
  ASSERT_THAT(intake.Take(from, Records({"one"})), IsOk());
  from.sender.listener = "https";
  ASSERT_THAT(intake.Take(from, Records({"one"})), IsOk());
  from.sender.certificates = {"sha256:aa", "cn:fw"};  // it shows one beside its key
  ASSERT_THAT(intake.Take(from, Records({"one"})), IsOk());
  EXPECT_EQ(Stored().size(), 1u);
  from.sender.credential = "tenants/acme/apiKeys/other";
  ASSERT_THAT(intake.Take(from, Records({"one"})), IsOk());
  EXPECT_EQ(Stored().size(), 2u);
}

TEST_F(RepeatsTest, ARepeatUnderARenewedCertificateIsKnownAndOthersAreNeverTakenForIt) {
  std::vector<directory::v1::Source> sources(3);
  sources[0].set_name(kA);
  sources[0].mutable_match()->set_certificate("cn:fw");
  sources[0].mutable_match()->set_cidr("192.0.2.0/25");
  sources[1].set_name(kB);  // of the same name, told apart by its address
  sources[1].mutable_match()->set_certificate("cn:fw");
  sources[1].mutable_match()->set_cidr("192.0.2.128/25");
  sources[2].set_name("tenants/acme/sources/c");
  sources[2].mutable_match()->set_certificate("sha256:aa");
  parts_.sources->Set(SourceMap::Build(sources, {}, nullptr));
  RecordIntake intake(parts_);
  const auto take = [&](const char* address, std::vector<std::string> certificates) {
    auto from = From("b1");
    from.sender = Sender{"https", *event::IpAddress::Parse(address), {}, std::move(certificates)};
    EXPECT_THAT(intake.Take(from, Records({"one"})), IsOk());
    return Stored().size();
  };
  EXPECT_EQ(take("192.0.2.1", {"sha256:aa", "cn:fw"}), 1u);
  EXPECT_EQ(take("192.0.2.1", {"sha256:bb", "cn:fw", "dns:fw.example.com"}), 1u) << "renewed";
  EXPECT_EQ(take("192.0.2.2", {"sha256:bb", "cn:fw"}), 1u) << "under another address of its own";
  EXPECT_EQ(take("192.0.2.129", {"sha256:cc", "cn:fw"}), 2u) << "another source";
  // Whom no source knows by name are who their certificates are.
  EXPECT_EQ(take("198.51.100.1", {"sha256:aa", "cn:client"}), 3u);
  EXPECT_EQ(take("198.51.100.1", {"sha256:dd", "cn:client"}), 4u);
  EXPECT_EQ(take("198.51.100.2", {"sha256:dd", "cn:client"}), 4u);
}

TEST_F(RepeatsTest, WhatFailedAndWasSentAgainCountsOnce) {
  RecordIntake intake(parts_);
  redis_.KillHard();
  ASSERT_FALSE(intake.Take(From("b1"), Records({"one"})).ok());
  EXPECT_EQ(Counted(), 0u);
  redis_.Restart();
  ASSERT_TRUE(Eventually([&] { return intake.Take(From("b1"), Records({"one"})).ok(); }));
  ASSERT_THAT(intake.Take(From("b1"), Records({"one"})), IsOk());
  EXPECT_EQ(Counted(), 1u);
}

TEST_F(RepeatsTest, AnotherBodyUnderTheSameIdIsNotLost) {
  RecordIntake intake(parts_);
  ASSERT_THAT(intake.Take(From("b1"), Records({"one"})), IsOk());
  ASSERT_THAT(intake.Take(From("b1"), Records({"two"})), IsOk());
  ASSERT_THAT(intake.Take(From("b1", 7), Records({"two"})), IsOk());  // other than its lines
  EXPECT_EQ(Stored().size(), 3u);
}

TEST_F(RepeatsTest, LinesThatGoToAnotherSourceThanBeforeAreNotLost) {
  // Sent while both were a's; only a part of what was sent arrived, as it were: a batch of two.
  Intake intake(parts_.intake, parts_.quarantine);
  const auto batches = [&](const char* second, const std::vector<std::string>& lines) {
    SenderState state(Sender{"http", {}, {}, {}});
    state.tenant = "acme";
    intake.Begin("the same");
    for (const std::string& line : lines) {
      intake.Add(state, MapOf(second), line, false, parts_.clock->Now(), {});
    }
    return intake.TakeAll();
  };
  const auto together = batches(kA, {LineOf("one"), LineOf("two")});
  const auto apart = batches(kB, {LineOf("one"), LineOf("two")});
  ASSERT_EQ(together.size(), 1u);
  ASSERT_EQ(apart.size(), 2u);
  EXPECT_NE(together[0].key, apart[0].key);
  EXPECT_NE(together[0].key, apart[1].key);
  EXPECT_EQ(together[0].key, batches(kA, {LineOf("one"), LineOf("two")})[0].key);
  const auto reader = event::BatchReader::Open(together[0].payload);
  ASSERT_THAT(reader, IsOk());
  EXPECT_EQ(reader->batch_id(), together[0].key);
}

// Between the two sends the directory gave one of the lines to another source.
TEST_F(RepeatsTest, ARepeatIsKnownAgainThoughItsLinesGoToOtherSourcesByNow) {
  RecordIntake intake(parts_);
  const auto records = Records({LineOf("one"), LineOf("two")});
  ASSERT_THAT(intake.Take(From("b1"), records), IsOk());
  parts_.sources->Set(MapOf(kB));
  ASSERT_THAT(intake.Take(From("b1"), records), IsOk());
  EXPECT_EQ(Stored().size(), 2u);
  EXPECT_EQ(Counted(), 2u);
  // Another process, and a request that is really another.
  NewSink();
  RecordIntake other(parts_);
  ASSERT_THAT(other.Take(From("b1"), records), IsOk());
  EXPECT_EQ(Stored().size(), 2u);
  ASSERT_THAT(other.Take(From("b1", 7), records), IsOk());
  EXPECT_EQ(Stored().size(), 4u);
}

TEST_F(RepeatsTest, ARequestOfManyBatchesIsOneRoundTrip) {
  const auto calls = [this] {
    const std::string text = pool_->Command({"INFO", "commandstats"})->text;
    const std::string_view name = "cmdstat_evalsha:calls=";
    const size_t at = text.find(name);
    return at == text.npos ? 0L : std::stol(text.substr(at + name.size()));
  };
  parts_.sources->Set(MapOf(kB));
  RecordIntake intake(parts_);
  const auto records = Records({LineOf("one"), LineOf("two")});
  ASSERT_THAT(intake.Take(From("b1"), records), IsOk());  // Redis learns the script
  const long before = calls();
  ASSERT_THAT(intake.Take(From("b2"), records), IsOk());
  EXPECT_EQ(calls() - before, 1);
  ASSERT_THAT(intake.Take(From("b2"), records), IsOk());
  EXPECT_EQ(calls() - before, 2) << "also where it is known";
  EXPECT_EQ(Stored().size(), 4u);
}

// More than one script call may take: in several, and known again just the same.
TEST_F(RepeatsTest, ALargeRequestIsKnownAgainToo) {
  RecordIntake intake(parts_);
  std::string noise(3 << 20, 'x');
  for (size_t i = 0, state = 1; i < noise.size(); ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    noise[i] = static_cast<char>('!' + (state >> 33) % 90);
  }
  std::vector<std::string> lines;
  for (size_t at = 0; at < noise.size(); at += 8192) lines.push_back(noise.substr(at, 8192));
  const auto records = Records(lines);
  ASSERT_THAT(intake.Take(From("b1"), records), IsOk());
  ASSERT_THAT(intake.Take(From("b1"), records), IsOk());
  EXPECT_EQ(Stored().size(), lines.size());
  EXPECT_EQ(Counted(), lines.size());
}

TEST_F(RepeatsTest, AFullRedisIsToldAsSuchAtEveryStep) {
  ASSERT_THAT(pool_->Command({"CONFIG", "SET", "maxmemory", "1"}), IsOk());
  RecordIntake intake(parts_);
  EXPECT_THAT(intake.Take(From("b1"), Records({"one"})),
              testing::StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
  RequestMemory memory(pool_, topic_.shards);
  EXPECT_THAT(memory.Remember("request"),
              testing::StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
  ASSERT_THAT(pool_->Command({"CONFIG", "SET", "maxmemory", "0"}), IsOk());
  ASSERT_THAT(intake.Take(From("b1"), Records({"one"})), IsOk());
  EXPECT_EQ(Counted(), 1u);
  EXPECT_EQ(Stored().size(), 1u);
}

TEST_F(RepeatsTest, ThatRedisIsFullStandsInTheLogOnceUntilItTakesBatchesAgain) {
  const auto log = folder_ / "log";
  parts_.sink.reset();
  parts_.sink = std::make_shared<BatchSink>(
      std::make_shared<stream::Producer>(pool_, topic_, stream::Producer::Options{}),
      Spool::Open(folder_ / "spool", spool_quota_).value(), parts_.metrics,
      Logger::ToFile(log.string()), std::make_shared<RequestMemory>(pool_, topic_.shards));
  const auto told = [&] {
    std::ifstream in(log);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    size_t count = 0;
    const std::string_view line = "the flow Redis takes no batches";
    for (size_t at = text.find(line); at != text.npos; at = text.find(line, at + 1)) ++count;
    return count;
  };
  RecordIntake intake(parts_);
  ASSERT_THAT(intake.Take(From("b0"), Records({"zero"})), IsOk());
  EXPECT_EQ(told(), 0u);
  for (size_t times = 1; times <= 2; ++times) {
    ASSERT_THAT(pool_->Command({"CONFIG", "SET", "maxmemory", "1"}), IsOk());
    const auto from = From("b" + std::to_string(times));
    for (int i = 0; i < 3; ++i) {
      EXPECT_THAT(intake.Take(from, Records({"one"})),
                  testing::StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
    }
    EXPECT_EQ(told(), times);
    ASSERT_THAT(pool_->Command({"CONFIG", "SET", "maxmemory", "0"}), IsOk());
    ASSERT_THAT(intake.Take(from, Records({"one"})), IsOk());
  }
}

TEST_F(RepeatsTest, BatchesInDoubtAreForgottenInTimeAndTheOldestWhereTheyAreMany) {
  DoubtfulBatches doubts(3, std::chrono::hours(30));
  const SteadyTime now{std::chrono::hours(100)};
  for (const char* key : {"a", "b", "c", "d"}) doubts.Note(key, now);
  EXPECT_EQ(doubts.size(), 3u);
  EXPECT_FALSE(doubts.Take("a", now)) << "it gave way to the newer ones";
  EXPECT_TRUE(doubts.Take("d", now));
  EXPECT_FALSE(doubts.Take("d", now));
  doubts.Note("b", now + std::chrono::hours(20));  // again: it counts from now on
  EXPECT_TRUE(doubts.Take("b", now + std::chrono::hours(31)));
  EXPECT_EQ(doubts.size(), 0u) << "nobody sent c again";
}

TEST_F(RepeatsTest, AnHourOfLateLinesAddsToWhatWasToldOfIt) {
  ReadyBatch batch;
  batch.partition = kA;
  batch.events = 10;
  const TimePoint then = parts_.clock->Now() - std::chrono::hours(30);
  batch.stats.first = batch.stats.last = then;
  const auto told = [&](TimePoint at) {
    std::map<std::pair<std::string, uint64_t>, uint64_t> lines;  // by instance and sequence
    for (const auto& report : ledger_->Collect(at)) {
      for (const auto& hour : report.hours()) {
        if (hour.lines() > 0) lines[{report.instance(), report.sequence()}] += hour.lines();
      }
    }
    return lines;
  };
  ledger_->Received(batch);
  const auto first = told(then);
  told(parts_.clock->Now());  // that hour is over
  ledger_->Received(batch);
  ledger_->Received(batch);
  auto reports = ledger_->Collect(parts_.clock->Now());
  ledger_->PutBack(reports);
  const auto second = told(parts_.clock->Now());
  ledger_->Received(batch);
  const auto third = told(parts_.clock->Now());
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(second.size(), 1u);
  ASSERT_EQ(third.size(), 1u);
  EXPECT_EQ(first.begin()->second + second.begin()->second + third.begin()->second, 40u);
  std::set<std::string> instances{first.begin()->first.first, second.begin()->first.first,
                                  third.begin()->first.first};
  EXPECT_EQ(instances.size(), 3u);  // of one instance, a later word would replace the earlier
}

}  // namespace
}  // namespace yagura::ingestion
