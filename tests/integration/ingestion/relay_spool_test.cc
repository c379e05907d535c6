// What a relay keeps on disk until the suite has it.
#include "services/ingestion/relay/relay_spool.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <set>

#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/testing/eventually.h"
#include "common/testing/fake_clock.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::ingestion {
namespace {

namespace fs = std::filesystem;
using testing::IsOk;

// Writes over some bytes of the record that begins there.
void DamageBehind(uint64_t place, std::fstream& file) {
  file.seekp(static_cast<std::streamoff>(place) + 20);
  file << "damaged";
}

class RelaySpoolTest : public ::testing::Test {
 protected:
  RelaySpoolTest() {
    options_.folder = folder_ / "spool";
    options_.site = "hq";
    options_.parent = "tenants/acme";
    Open();
  }
  ~RelaySpoolTest() override {
    spool_.reset();
    fs::remove_all(folder_);
  }
  void Open() {
    spool_.reset();
    spool_ = RelaySpool::Open(options_, clock_, Logger::Null()).value();
  }
  v1::PushRequest Batch(const std::string& line, int lines = 1) const {
    v1::PushRequest batch;
    auto& relay = *batch.mutable_relay();
    relay.add_senders()->set_address(std::string("\x0a\x00\x00\x05", 4));
    for (int i = 0; i < lines; ++i) {
      batch.add_lines(line);
      relay.add_line_senders(0);
      *relay.add_line_receive_times() = ToProto(clock_->Now());
    }
    return batch;
  }
  // All that is given, in order.
  std::vector<RelaySpool::Entry> Drain() {
    std::vector<RelaySpool::Entry> entries;
    for (;;) {
      auto entry = spool_->Next();
      EXPECT_THAT(entry.status(), IsOk());
      if (!entry.ok() || !*entry) return entries;
      entries.push_back(**entry);
    }
  }
  static std::vector<std::string> FirstLines(const std::vector<RelaySpool::Entry>& entries) {
    std::vector<std::string> lines;
    for (const auto& entry : entries) lines.push_back(entry.batch.lines(0));
    return lines;
  }

  // The only segment.
  void Damage(const std::function<void(std::fstream&)>& change) {
    for (const auto& entry : fs::directory_iterator(options_.folder)) {
      if (entry.path().extension() != ".relay") continue;
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      change(file);
    }
  }
  static uint64_t Told(const std::vector<RelaySpool::Entry>& entries) {
    uint64_t lines = 0;
    for (const auto& entry : entries) {
      for (const auto& loss : entry.batch.relay().losses()) lines += loss.line_count();
    }
    return lines;
  }

  const fs::path folder_ = testing::MakeTemporaryFolder();
  const std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  RelaySpool::Options options_;
  std::unique_ptr<RelaySpool> spool_;
};

TEST_F(RelaySpoolTest, WhatWasNotAcknowledgedComesAgainUnderItsId) {
  options_.segment_bytes = 200;
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i))), IsOk());
  const auto given = Drain();
  ASSERT_EQ(given.size(), 10u);
  EXPECT_EQ(given[3].batch.parent(), "tenants/acme");
  EXPECT_EQ(given[3].batch.relay().site(), "hq");
  spool_->Acknowledge(given[3].place);
  spool_->Rewind();
  auto again = Drain();
  ASSERT_EQ(again.size(), 6u);
  EXPECT_EQ(again[0].batch.batch_id(), given[4].batch.batch_id());
  // After a stop, and what comes then has other ids.
  Open();
  ASSERT_THAT(spool_->Append(Batch("new")), IsOk());
  again = Drain();
  ASSERT_EQ(again.size(), 7u);
  std::set<std::string> ids;
  for (const auto& entry : again) ids.insert(entry.batch.batch_id());
  EXPECT_EQ(ids.size(), 7u);
  EXPECT_EQ(again[0].batch.batch_id(), given[4].batch.batch_id());
  spool_->Acknowledge(again.back().place);
  Open();
  EXPECT_TRUE(Drain().empty());
  EXPECT_EQ(spool_->stats().bytes, 0u);
}

TEST_F(RelaySpoolTest, KilledItGivesAgainAtMostWhatWasAcknowledgedLast) {
  for (int i = 0; i < 3; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i))), IsOk());
  const auto given = Drain();
  clock_->Advance(std::chrono::seconds(2));
  spool_->Acknowledge(given[0].place);          // written: the last time is long ago
  spool_->Acknowledge(given[1].place);          // not yet
  fs::copy(options_.folder, folder_ / "copy");  // as a kill leaves it
  options_.folder = folder_ / "copy";
  Open();
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"1", "2"}));
}

TEST_F(RelaySpoolTest, TheOldestGoesWhereThereIsNoRoomAndIsTold) {
  options_.segment_bytes = 500;
  options_.max_bytes = 2'000;
  Open();
  for (int i = 0; i < 40; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 2)), IsOk());
  spool_->Trim();
  const auto left = Drain();
  uint64_t lines = 0;
  uint64_t lost = 0;
  for (const auto& entry : left) {
    for (const auto& loss : entry.batch.relay().losses()) {
      lost += loss.line_count();
      EXPECT_EQ(entry.batch.relay().senders(static_cast<int>(loss.sender())).address(),
                std::string("\x0a\x00\x00\x05", 4));
    }
    if (entry.batch.relay().losses().empty()) lines += 2;
  }
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(lines + lost, 80u);
  EXPECT_EQ(spool_->stats().lost_lines, lost);
  EXPECT_LE(spool_->stats().bytes, 2'500u);
  EXPECT_EQ(FirstLines(left)[0].find("<132>"), std::string::npos);  // the newest are left
}

TEST_F(RelaySpoolTest, WhatIsTooOldGoesAndIsTold) {
  options_.max_age = std::chrono::hours(72);
  Open();
  ASSERT_THAT(spool_->Append(Batch("old", 5)), IsOk());
  clock_->Advance(std::chrono::hours(71));
  spool_->Trim();
  ASSERT_THAT(spool_->Append(Batch("young")), IsOk());
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"old", "young"}));
  clock_->Advance(std::chrono::hours(74));
  spool_->Rewind();
  spool_->Trim();
  uint64_t told = 0;
  for (const auto& entry : Drain()) {
    ASSERT_GT(entry.batch.relay().losses_size(), 0);
    for (const auto& loss : entry.batch.relay().losses()) told += loss.line_count();
  }
  EXPECT_EQ(told, 6u);
  EXPECT_EQ(spool_->stats().lost_lines, 6u);
}

// Files of this process become no longer while it lives: a disk that is full.
class FullDisk {
 public:
  FullDisk() : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit none{0, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(RelaySpoolTest, NothingGoesBeforeItIsToldAlsoWhereTheDiskRefuses) {
  options_.segment_bytes = 500;
  options_.max_bytes = 2'000;
  Open();
  for (int i = 0; i < 40; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 2)), IsOk());
  const uint64_t before = spool_->stats().bytes;
  {
    const FullDisk full;
    spool_->Trim();
    spool_->Trim();
  }
  EXPECT_EQ(spool_->stats().bytes, before);
  EXPECT_EQ(spool_->stats().lost_lines, 0u);
  const auto first = spool_->Next();
  ASSERT_THAT(first.status(), IsOk());
  {
    const FullDisk full;
    spool_->GiveUp(**first);  // nor does what the suite refuses
  }
  spool_->Rewind();
  EXPECT_EQ(FirstLines(Drain())[0], "0");
  spool_->Trim();
  spool_->Rewind();
  uint64_t lines = 0;
  uint64_t lost = 0;
  for (const auto& entry : Drain()) {
    for (const auto& loss : entry.batch.relay().losses()) lost += loss.line_count();
    if (entry.batch.relay().losses().empty()) lines += 2;
  }
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(lines + lost, 80u) << "each told once";
}

TEST_F(RelaySpoolTest, AFullDiskIsSaidUntilItTakesLinesAgain) {
  ASSERT_THAT(spool_->Append(Batch("before")), IsOk());
  EXPECT_EQ(spool_->stats().disk_error, "");
  {
    const FullDisk full;
    EXPECT_FALSE(spool_->Append(Batch("while")).ok());
  }
  EXPECT_NE(spool_->stats().disk_error.find("cannot write"), std::string::npos);
  ASSERT_THAT(spool_->Append(Batch("after")), IsOk());
  EXPECT_EQ(spool_->stats().disk_error, "");
}

TEST_F(RelaySpoolTest, WhatCouldNotBeAppendedIsToldAtTheEnd) {
  spool_->NoteLost(Batch("x", 7));
  Open();
  const auto told = Drain();
  ASSERT_EQ(told.size(), 1u);
  ASSERT_EQ(told[0].batch.relay().losses_size(), 1);
  EXPECT_EQ(told[0].batch.relay().losses(0).line_count(), 7u);
}

TEST_F(RelaySpoolTest, AClockThatJumpsAgesNothing) {
  ASSERT_THAT(spool_->Append(Batch("before")), IsOk());
  const TimePoint now = clock_->Now();
  for (const auto jump : {std::chrono::hours(24 * 3650), -std::chrono::hours(24 * 3650)}) {
    clock_->SetNow(now + jump);
    spool_->Trim();
    ASSERT_THAT(spool_->Append(Batch("while")), IsOk());
    Open();  // and while nobody runs
    spool_->Trim();
    ASSERT_THAT(spool_->Append(Batch("after")), IsOk());
  }
  clock_->SetNow(now);
  Open();
  spool_->Trim();
  EXPECT_EQ(FirstLines(Drain()),
            (std::vector<std::string>{"before", "while", "after", "while", "after"}));
  EXPECT_EQ(spool_->stats().lost_lines, 0u);
  // Time that really passes counts.
  clock_->Advance(std::chrono::hours(80));
  spool_->Trim();
  EXPECT_EQ(spool_->stats().lost_lines, 5u);
}

TEST_F(RelaySpoolTest, WhatIsDamagedCostsItselfAlone) {
  for (int i = 0; i < 3; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i))), IsOk());
  const auto given = Drain();
  for (const auto& entry : fs::directory_iterator(options_.folder)) {
    if (entry.path().extension() != ".relay") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    DamageBehind(given[0].place.end, file);
    file.seekp(0, std::ios::end);
    file << "torn";
  }
  Open();
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"0", "2"}));
  EXPECT_GT(spool_->stats().damaged_bytes, 4u);
  EXPECT_EQ(spool_->stats().lost_lines, 2u);  // one, and one by an estimate of what is torn
  ASSERT_THAT(spool_->Append(Batch("3")), IsOk());
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"3"}));
}

TEST_F(RelaySpoolTest, WhatADamagedPlaceHeldIsToldOnce) {
  for (int i = 0; i < 5; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 10)), IsOk());
  const auto given = Drain();
  spool_->Acknowledge(given[0].place);
  Damage([&](std::fstream& file) {
    DamageBehind(given[0].place.end, file);
    DamageBehind(given[2].place.end, file);
  });
  Open();
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"2", "4"}));
  EXPECT_EQ(spool_->stats().lost_lines, 20u);
  spool_->Trim();
  const auto told = Drain();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(Told(told), 20u);
  EXPECT_NE(told[0].batch.lines(0).find("; 20 of them were in damaged parts"), std::string::npos)
      << told[0].batch.lines(0);
  EXPECT_EQ(
      std::distance(fs::directory_iterator(options_.folder / "damaged"), fs::directory_iterator()),
      1);
  // Nor once more after a stop.
  Open();
  const auto again = Drain();
  EXPECT_EQ(FirstLines(again).size(), 3u);
  EXPECT_EQ(Told(again), 20u);
  EXPECT_EQ(spool_->stats().lost_lines, 0u);
}

TEST_F(RelaySpoolTest, DamageOfTheLiveFilesEndCountsOnce) {
  for (int i = 0; i < 3; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 10)), IsOk());
  const auto given = Drain();
  spool_->Rewind();
  Damage([&](std::fstream& file) { DamageBehind(given[1].place.end, file); });
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(spool_->stats().lost_lines, 10u);
  // Nor once more when the file is closed, and what tells of it is in the next one.
  clock_->Advance(options_.segment_age + std::chrono::seconds(1));
  spool_->Trim();
  ASSERT_THAT(spool_->Append(Batch("3", 10)), IsOk());
  const auto next = Drain();
  EXPECT_EQ(FirstLines(next).back(), "3");
  EXPECT_EQ(Told(next), 10u);
  EXPECT_EQ(spool_->stats().lost_lines, 10u);
  spool_->Trim();
  EXPECT_EQ(Told(Drain()), 0u);
  EXPECT_EQ(spool_->stats().damaged_bytes, given[2].place.end - given[1].place.end);
}

TEST_F(RelaySpoolTest, DamageOfTheLiveFilesEndCountsOnceAlsoWhereMoreOfItIsDamagedThen) {
  for (int i = 0; i < 2; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 10)), IsOk());
  const auto given = Drain();
  spool_->Rewind();
  Damage([&](std::fstream& file) { DamageBehind(given[0].place.end, file); });
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"0"}));
  ASSERT_THAT(spool_->Append(Batch("2", 10)), IsOk());
  Damage([&](std::fstream& file) { DamageBehind(given[1].place.end, file); });
  EXPECT_TRUE(Drain().empty());
  EXPECT_EQ(spool_->stats().lost_lines, 20u);
  spool_->Trim();
  EXPECT_EQ(Told(Drain()), 20u);
}

TEST_F(RelaySpoolTest, DamageOfTheLiveFilesEndCountsOnceAlsoAfterAStop) {
  for (int i = 0; i < 2; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 10)), IsOk());
  const auto given = Drain();
  spool_->Rewind();
  Damage([&](std::fstream& file) { DamageBehind(given[0].place.end, file); });
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"0"}));
  spool_->Trim();  // tells of it behind the damage
  const auto told = Drain();
  EXPECT_EQ(Told(told), 10u);
  spool_->Acknowledge(given[0].place);
  Open();
  EXPECT_EQ(Told(Drain()), 10u);
  EXPECT_EQ(spool_->stats().lost_lines, 0u);
  // Where what tells of it is damaged as well, that is lost: ten lines and its own.
  spool_.reset();
  Damage([&](std::fstream& file) { DamageBehind(given[1].place.end, file); });
  Open();
  EXPECT_TRUE(Drain().empty());
  EXPECT_EQ(spool_->stats().lost_lines, 11u);
}

TEST_F(RelaySpoolTest, WhatTheSuiteHasIsNotToldAsLostWhereItIsDamagedToo) {
  for (int i = 0; i < 5; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 10)), IsOk());
  const auto given = Drain();
  spool_->Acknowledge(given[0].place);
  spool_->Acknowledge(given[1].place);
  spool_.reset();
  fs::copy(options_.folder, folder_ / "cut");
  Damage([&](std::fstream& file) {
    for (const int i : {0, 1}) {  // the second and the third
      DamageBehind(given[static_cast<size_t>(i)].place.end, file);
    }
  });
  Open();
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"3", "4"}));
  EXPECT_EQ(spool_->stats().lost_lines, 10u);
  // Nor where the file ends before what the suite has.
  options_.folder = folder_ / "cut";
  for (const auto& entry : fs::directory_iterator(options_.folder)) {
    if (entry.path().extension() == ".relay") fs::resize_file(entry.path(), given[0].place.end);
  }
  Open();
  EXPECT_TRUE(Drain().empty());
  EXPECT_EQ(spool_->stats().lost_lines, 30u);
  EXPECT_EQ(spool_->stats().bytes, 0u);
}

TEST_F(RelaySpoolTest, DamageCountsOnceHoweverOftenItCannotBeTold) {
  for (int i = 0; i < 3; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 10)), IsOk());
  const auto given = Drain();
  Damage([&](std::fstream& file) { DamageBehind(given[0].place.end, file); });
  Open();
  clock_->Advance(options_.max_age + 2 * options_.segment_age);
  {
    const FullDisk full;
    for (int i = 0; i < 3; ++i) spool_->Trim();
  }
  spool_->Trim();
  EXPECT_EQ(spool_->stats().damaged_bytes, given[1].place.end - given[0].place.end);
  EXPECT_EQ(spool_->stats().lost_lines, 30u);
  EXPECT_EQ(Told(Drain()), 30u);
}

TEST_F(RelaySpoolTest, WhoAppendsDoesNotWaitForReading) {
  ASSERT_THAT(spool_->Append(Batch("0")), IsOk());
  Open();
  // A disk that does not answer: a pipe that nobody writes to.
  fs::path segment;
  for (const auto& entry : fs::directory_iterator(options_.folder)) {
    if (entry.path().extension() == ".relay") segment = entry.path();
  }
  fs::rename(segment, folder_ / "aside");
  ASSERT_EQ(::mkfifo(segment.c_str(), 0600), 0);
  auto read = std::async(std::launch::async, [this] { return spool_->Next().ok(); });
  auto trim = std::async(std::launch::async, [this] { spool_->stats(); });
  EXPECT_EQ(read.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  auto append = std::async(std::launch::async, [this] {
    spool_->NoteDropped("syslog_udp", 1);
    return spool_->Append(Batch("1")).ok();
  });
  const bool is_done =
      append.wait_for(testing::Patient(std::chrono::seconds(5))) == std::future_status::ready;
  EXPECT_TRUE(is_done);
  // It answers, with an error.
  testing::Eventually([&] {
    const int end = ::open(segment.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (end >= 0) ::close(end);
    return read.wait_for(std::chrono::seconds(0)) == std::future_status::ready &&
           trim.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  });
  EXPECT_TRUE(append.get());
}

TEST_F(RelaySpoolTest, WhatACutTailHeldIsTold) {
  for (int i = 0; i < 5; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 10)), IsOk());
  const auto given = Drain();
  // In the middle of a record; where one ends; from the start.
  const std::vector<std::pair<uint64_t, uint64_t>> cuts = {
      {given[2].place.end + 5, 20}, {given[2].place.end, 20}, {5, 50}};
  spool_.reset();
  for (const auto& [size, lost] : cuts) {
    fs::remove_all(folder_ / "cut");
    fs::copy(options_.folder, folder_ / "cut");
    auto options = options_;
    options.folder = folder_ / "cut";
    for (const auto& entry : fs::directory_iterator(options.folder)) {
      if (entry.path().extension() == ".relay") fs::resize_file(entry.path(), size);
    }
    spool_ = RelaySpool::Open(options, clock_, Logger::Null()).value();
    for (const auto& entry : Drain()) spool_->Acknowledge(entry.place);
    EXPECT_EQ(spool_->stats().lost_lines, lost) << size;
    spool_->Trim();
    const auto told = Drain();
    EXPECT_EQ(Told(told), lost) << size;
    for (const auto& entry : told) spool_->Acknowledge(entry.place);
    spool_->Trim();
    EXPECT_EQ(spool_->stats().bytes, 0u) << "nothing waits behind what is damaged";
    EXPECT_EQ(spool_->stats().oldest, TimePoint{});
  }
}

TEST_F(RelaySpoolTest, WhatIsNotKnownOfATornTailIsSaidToBeAnEstimate) {
  for (int i = 0; i < 2; ++i) ASSERT_THAT(spool_->Append(Batch(std::to_string(i), 10)), IsOk());
  const auto given = Drain();
  fs::copy(options_.folder, folder_ / "copy");  // as a kill leaves it
  options_.folder = folder_ / "copy";
  for (const auto& entry : fs::directory_iterator(options_.folder)) {
    if (entry.path().extension() == ".relay") {
      fs::resize_file(entry.path(), given[1].place.end - 1);
    }
  }
  Open();
  EXPECT_EQ(FirstLines(Drain()), (std::vector<std::string>{"0"}));
  EXPECT_NEAR(static_cast<double>(spool_->stats().lost_lines), 10, 1);
  spool_->Trim();
  const auto told = Drain();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].batch.lines(0).find("estimate"), std::string::npos);
}

TEST_F(RelaySpoolTest, TheOldestIsOfWhatWaits) {
  ASSERT_THAT(spool_->Append(Batch("old")), IsOk());
  clock_->Advance(std::chrono::seconds(100));
  const TimePoint later = clock_->Now();
  ASSERT_THAT(spool_->Append(Batch("young")), IsOk());
  const auto given = Drain();
  EXPECT_EQ(spool_->stats().oldest, later - std::chrono::seconds(100));
  spool_->Acknowledge(given[0].place);
  clock_->Advance(std::chrono::seconds(2));
  EXPECT_EQ(spool_->stats().oldest, later);
  spool_->Acknowledge(given[1].place);
  EXPECT_EQ(spool_->stats().oldest, TimePoint{});
}

TEST_F(RelaySpoolTest, WhatCouldNotBeAppendedIsToldWithTheNext) {
  spool_->NoteLost(Batch("x", 7));
  spool_->Trim();
  const auto told = Drain();
  ASSERT_EQ(told.size(), 1u);
  ASSERT_EQ(told[0].batch.relay().losses_size(), 1);
  EXPECT_EQ(told[0].batch.relay().losses(0).line_count(), 7u);
  // Lost in its turn, it tells the same once more.
  spool_->GiveUp(told[0]);
  const auto again = Drain();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(spool_->stats().lost_lines, 8u);
}

TEST_F(RelaySpoolTest, WhatTheKernelDroppedIsSharedOutAmongWhoWasHeard) {
  const auto append = [&](char host, const std::string& listener, int lines) {
    v1::PushRequest batch = Batch("line", lines);
    auto& sender = *batch.mutable_relay()->mutable_senders(0);
    sender.set_address(std::string("\x0a\x00\x00", 3) + host);
    sender.set_listener(listener);
    ASSERT_THAT(spool_->Append(batch), IsOk());
  };
  using Shares = std::map<std::string, uint64_t>;  // by the last byte of the address
  const auto told = [&] {
    spool_->Trim();
    Shares shares;
    for (const auto& entry : Drain()) {
      const auto& relay = entry.batch.relay();
      for (const auto& loss : relay.losses()) {
        EXPECT_TRUE(loss.kernel_dropped());
        shares[relay.senders(static_cast<int>(loss.sender())).address().substr(3)] +=
            loss.line_count();
      }
    }
    return shares;
  };
  spool_->NoteDropped("syslog_udp", 3);  // nobody was heard: they wait for who is
  EXPECT_EQ(told(), Shares());
  append('1', "syslog_udp", 2);
  append('2', "syslog_udp", 1);
  append('2', "syslog_udp", 5);
  append('3', "syslog_tcp", 9);
  spool_->NoteDropped("syslog_udp", 8);
  spool_->NoteDropped("syslog_tcp", 0);
  EXPECT_EQ(told(), (Shares{{"1", 2}, {"2", 9}}));
  EXPECT_EQ(spool_->stats().lost_lines, 0u) << "it is not the relay's loss";
  // A flood is told once a minute.
  append('1', "syslog_udp", 1);
  spool_->NoteDropped("syslog_udp", 4);
  EXPECT_EQ(told(), Shares());
  clock_->Advance(std::chrono::minutes(1));
  EXPECT_EQ(told(), (Shares{{"1", 4}}));
  // The counter may tell of drops after their senders have fallen silent.
  append('2', "syslog_udp", 1);
  spool_->NoteDropped("syslog_udp", 0);
  spool_->NoteDropped("syslog_udp", 6);
  clock_->Advance(std::chrono::minutes(1));
  EXPECT_EQ(told(), (Shares{{"2", 6}}));
  // At the end at once.
  append('1', "syslog_udp", 1);
  spool_->NoteDropped("syslog_udp", 5);
  Drain();
  Open();
  EXPECT_EQ(told(), (Shares{{"1", 11}, {"2", 15}}));
}

}  // namespace
}  // namespace yagura::ingestion
