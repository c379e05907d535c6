// Files that are followed across rotation and restarts, into a real flow Redis.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "services/ingestion/workers/file_follower.h"
#include "tests/integration/ingestion/intake_world.h"

namespace yagura::ingestion {
namespace {

namespace fs = std::filesystem;

class FilesTest : public IntakeWorld {
 protected:
  FilesTest() {
    fs::create_directories(logs_);
    directory::v1::Source source;
    source.set_name("tenants/acme/sources/web");
    source.mutable_match()->set_listener("file_web");
    parts_.sources->Set(SourceMap::Build({source}, {}, nullptr));
    options_.name = "file_web";
    options_.patterns = {(logs_ / "*.log").string()};
    options_.positions = folder_ / "files.pb";
    options_.interval = std::chrono::milliseconds(10);
  }
  ~FilesTest() override { follower_.reset(); }

  void Follow() {
    follower_.reset();
    follower_ = FileFollower::Make(options_, parts_).value();
    follower_->Start();
  }

  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(logs_ / name, std::ios::binary | std::ios::app) << bytes;
  }

  std::multiset<std::string> Lines() { return RawOf(Stored()); }
  bool EventuallyHas(const std::multiset<std::string>& lines) {
    return Eventually([&] { return Stored().size() >= lines.size(); }) && Lines() == lines;
  }
  const fs::path logs_ = folder_ / "logs";
  FileFollowerOptions options_;
  std::unique_ptr<FileFollower> follower_;
};

TEST_F(FilesTest, LinesAreReadAsTheyAreWritten) {
  Write("app.log", "one\ntwo\r\n\nthr");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one", "two"}));
  Write("app.log", "ee\n");
  ASSERT_TRUE(EventuallyHas({"one", "two", "three"}));
  Write("other.log", "four\n");
  ASSERT_TRUE(EventuallyHas({"one", "two", "three", "four"}));
  const auto events = Stored();
  EXPECT_EQ(events[0].tenant(), "acme");
  EXPECT_EQ(events[0].origin(), (logs_ / "app.log").string());
}

TEST_F(FilesTest, ARenamedFileIsReadToItsEndAndTheNewOneFromItsStart) {
  Write("app.log", "one\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one"}));
  std::ofstream writer(logs_ / "app.log", std::ios::binary | std::ios::app);
  fs::rename(logs_ / "app.log", logs_ / "app.log.1");  // not matched
  Write("app.log", "three\n");
  writer << "two\n" << std::flush;  // by a writer that has not noticed
  ASSERT_TRUE(EventuallyHas({"one", "two", "three"}));
  fs::rename(logs_ / "app.log", logs_ / "app.1.log");  // matched: the same file
  Write("app.log", "four\n");
  ASSERT_TRUE(EventuallyHas({"one", "two", "three", "four"}));
}

TEST_F(FilesTest, AFileThatIsCopiedAndEmptiedIsReadFromItsStartAgain) {
  Write("app.log", "a long first line\nanother\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"a long first line", "another"}));
  fs::copy(logs_ / "app.log", logs_ / "app.log.1");
  fs::resize_file(logs_ / "app.log", 0);
  Write("app.log", "short\n");
  ASSERT_TRUE(EventuallyHas({"a long first line", "another", "short"}));
  // Grown beyond where it was before anybody looked: the head tells.
  follower_.reset();
  fs::resize_file(logs_ / "app.log", 0);
  Write("app.log", "much longer than what was read before\n");
  Follow();
  ASSERT_TRUE(EventuallyHas(
      {"a long first line", "another", "short", "much longer than what was read before"}));
}

TEST_F(FilesTest, CompressedFilesAndPipesAreLeftAlone) {
  options_.patterns = {(logs_ / "*").string()};
  Write("app.log.1.gz", "\x1f\x8b not for us\n");
  ASSERT_EQ(::mkfifo((logs_ / "pipe").c_str(), 0600), 0);
  fs::create_directories(logs_ / "folder");
  Write("app.log", "one\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one"}));
}

TEST_F(FilesTest, ARestartGoesOnWhereItWas) {
  Write("app.log", "one\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one"}));
  follower_.reset();
  Write("app.log", "two\n");
  fs::rename(logs_ / "app.log", logs_ / "app.log.1");  // while nobody looks
  Write("app.log", "three\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one", "two", "three"}));
}

TEST_F(FilesTest, KilledBetweenTheStreamsAndItsMemoryItDoublesAndLosesNothing) {
  Write("app.log", "one\ntwo\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one", "two"}));
  // As it stood before the end of the part was known: planned, sent, not noted as done.
  internal::v1::FilePositions positions;
  ASSERT_TRUE(Eventually([&] {
    std::ifstream in(options_.positions, std::ios::binary);
    return positions.ParseFromIstream(&in) && positions.files_size() == 1 &&
           positions.files(0).offset() == 8;
  }));
  follower_.reset();
  positions.mutable_files(0)->set_offset(0);
  positions.mutable_files(0)->set_tail_bytes(0);
  std::ofstream(options_.positions, std::ios::binary) << positions.SerializeAsString();
  Write("app.log", "three\n");  // must not become part of what is sent again
  Follow();
  ASSERT_TRUE(EventuallyHas({"one", "two", "three"}));
}

TEST_F(FilesTest, AFileThatCannotBeReadNowIsRememberedForLater) {
  // Opens, and refuses to be read.
  const fs::path path = "/proc/self/mem";
  const int held = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);  // so that its inode stays
  struct stat info {};
  if (held < 0 || ::fstat(held, &info) != 0 || !S_ISREG(info.st_mode)) GTEST_SKIP() << "no /proc";
  internal::v1::FilePositions positions;
  auto& position = *positions.add_files();
  position.set_path(path.native());
  position.set_inode(info.st_ino);
  position.set_life("the life before");
  std::ofstream(options_.positions, std::ios::binary) << positions.SerializeAsString();
  options_.patterns = {path.native(), (logs_ / "*.log").string()};
  Write("app.log", "one\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one"}));
  follower_.reset();
  ::close(held);
  std::ifstream in(options_.positions, std::ios::binary);
  ASSERT_TRUE(positions.ParseFromIstream(&in));
  EXPECT_TRUE(std::ranges::any_of(positions.files(), [](const auto& known) {
    return known.life() == "the life before";
  })) << positions.ShortDebugString();
}

TEST_F(FilesTest, AnotherFileOnTheSameInodeIsNotTakenForTheOldOne) {
  Write("app.log", "one\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one"}));
  follower_.reset();
  // The same inode, as after a deletion and a new file: another head.
  fs::resize_file(logs_ / "app.log", 0);
  Write("app.log", "ONE\ntwo\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one", "ONE", "two"}));
}

TEST_F(FilesTest, WhileRedisIsAwayFilesWait) {
  Write("app.log", "one\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one"}));
  redis_.KillHard();
  std::string more;
  std::multiset<std::string> sent{"one"};
  for (int i = 0; i < 5000; ++i) {
    sent.insert("line " + std::to_string(i));
    more += "line " + std::to_string(i) + "\n";
  }
  Write("app.log", more);
  ASSERT_TRUE(
      Eventually([&] { return !HasMetric("file_unread_bytes{listener=\"file_web\"} 0\n"); }));
  redis_.Restart();
  ASSERT_TRUE(EventuallyHas(sent));
}

TEST_F(FilesTest, ALineWithoutAnEndIsKeptWholeUpToTheLongest) {
  options_.part_bytes = 128 * 1024;
  Write("app.log", std::string(300'000, 'x'));
  Follow();
  ASSERT_TRUE(EventuallyStored(2));
  for (const auto& event : Stored()) EXPECT_EQ(event.raw(), std::string(64 * 1024, 'x'));
}

TEST_F(FilesTest, AFolderThatIsAwayForAWhileIsNotReadAgain) {
  Write("app.log", "one\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one"}));
  // At a start, as before its file system is mounted.
  follower_.reset();
  const fs::path away = folder_ / "away";
  fs::rename(logs_, away);
  Follow();
  ASSERT_TRUE(Eventually([&] { return HasMetric("_files{listener=\"file_web\"} 0\n"); }));
  fs::rename(away, logs_);
  Write("app.log", "two\n");
  ASSERT_TRUE(EventuallyHas({"one", "two"}));
  // While it is followed, for longer than a renamed file is.
  options_.rotated_wait = std::chrono::milliseconds(0);
  Follow();
  ASSERT_TRUE(Eventually([&] { return HasMetric("_files{listener=\"file_web\"} 1\n"); }));
  fs::rename(logs_, away);
  ASSERT_TRUE(Eventually([&] { return HasMetric("_files{listener=\"file_web\"} 0\n"); }));
  fs::rename(away, logs_);
  Write("app.log", "three\n");
  ASSERT_TRUE(EventuallyHas({"one", "two", "three"}));
}

TEST_F(FilesTest, AFileSystemThatIsMountedAnewIsNotReadAgain) {
  const std::string much(2000, 'x');
  Write("app.log", "one\n");
  Write("moved.log", much + "\ntwo\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one", much, "two"}));
  follower_.reset();
  internal::v1::FilePositions positions;
  std::ifstream in(options_.positions, std::ios::binary);
  ASSERT_TRUE(positions.ParseFromIstream(&in));
  for (auto& position : *positions.mutable_files()) position.set_device(position.device() + 1);
  std::ofstream(options_.positions, std::ios::binary) << positions.SerializeAsString();
  // Copied to another place: the inode is another, too.
  fs::copy(logs_ / "moved.log", logs_ / "copy.log");
  fs::remove(logs_ / "moved.log");
  Write("app.log", "three\n");
  Write("copy.log", "four\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one", much, "two", "three", "four"}));
}

TEST_F(FilesTest, FilesThatBeginAlikeAreTold) {
  const std::string head(2000, '#');  // as Zeek's and IIS's
  Write("app.log", head + "\none\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({head, "one"}));
  follower_.reset();
  fs::remove(logs_ / "app.log");
  Write("app.log", head + "\ntwo\nthree\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({head, "one", head, "two", "three"}));
}

TEST_F(FilesTest, FilesThatTheLimitLeavesOutAreNotReadAgain) {
  Write("a.log", "one\n");
  Write("b.log", "two\n");
  Follow();
  ASSERT_TRUE(EventuallyHas({"one", "two"}));
  options_.max_files = 1;
  Follow();
  ASSERT_TRUE(Eventually([&] { return HasMetric("_files{listener=\"file_web\"} 1\n"); }));
  options_.max_files = 2;
  Follow();
  Write("a.log", "three\n");
  Write("b.log", "four\n");
  ASSERT_TRUE(EventuallyHas({"one", "two", "three", "four"}));
}

TEST_F(FilesTest, ARenamedFileIsFollowedAsLongAsItGrows) {
  options_.rotated_wait = std::chrono::milliseconds(300);
  Write("app.log", "line\n");
  Follow();
  ASSERT_TRUE(EventuallyStored(1));
  std::ofstream writer(logs_ / "app.log", std::ios::binary | std::ios::app);
  fs::rename(logs_ / "app.log", logs_ / "app.log.1");
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'200);
  size_t lines = 1;
  while (std::chrono::steady_clock::now() < until) {
    writer << "line\n" << std::flush;
    ++lines;
    ASSERT_TRUE(EventuallyStored(lines)) << lines;
  }
  EXPECT_EQ(Stored().size(), lines);
  // Then it is let go, and known if it comes back.
  ASSERT_TRUE(Eventually([&] { return HasMetric("_files{listener=\"file_web\"} 0\n"); }));
  writer << "after\n" << std::flush;
  fs::rename(logs_ / "app.log.1", logs_ / "app.old.log");
  ASSERT_TRUE(EventuallyStored(lines + 1));
  EXPECT_EQ(Stored().size(), lines + 1);
}

TEST_F(FilesTest, AFileThatIsReplacedByALongerCopyIsGoneOnWith) {
  std::string text;
  std::multiset<std::string> lines;
  for (int i = 0; i < 100; ++i) {
    text += "line " + std::to_string(i) + "\n";
    lines.insert("line " + std::to_string(i));
  }
  Write("app.log", text);
  Follow();
  ASSERT_TRUE(EventuallyHas(lines));
  Write("app.log.new", text + "more\n");  // as rsync does it
  fs::rename(logs_ / "app.log.new", logs_ / "app.log");
  lines.insert("more");
  ASSERT_TRUE(EventuallyHas(lines));
}

TEST_F(FilesTest, WhatIsRememberedIsBounded) {
  options_.rotated_wait = std::chrono::milliseconds(0);
  options_.max_remembered = 2;
  Follow();
  for (int i = 0; i < 5; ++i) {
    Write("app.log", "line " + std::to_string(i) + "\n");
    ASSERT_TRUE(EventuallyStored(static_cast<size_t>(i) + 1));
    fs::rename(logs_ / "app.log", logs_ / ("app.log." + std::to_string(i)));
    ASSERT_TRUE(Eventually([&] { return HasMetric("_files{listener=\"file_web\"} 0\n"); }));
  }
  follower_.reset();
  internal::v1::FilePositions positions;
  std::ifstream in(options_.positions, std::ios::binary);
  ASSERT_TRUE(positions.ParseFromIstream(&in));
  EXPECT_LE(positions.files_size(), 3);  // what is given up is so at the next look
  Follow();
  fs::rename(logs_ / "app.log.4", logs_ / "app.log");
  Write("app.log", "more\n");
  ASSERT_TRUE(EventuallyStored(6));
  EXPECT_EQ(Stored().size(), 6u);
}

TEST_F(FilesTest, LinesOfAStackTraceAreOneEvent) {
  MultiLineOptions rule;
  rule.start = "^\\d{4}-\\d\\d-\\d\\d ";
  rule.timeout = std::chrono::milliseconds(200);
  options_.multi_line = MultiLineRule::Make(rule).value();
  options_.part_bytes = 256;  // events lie across parts
  const std::string trace =
      "2026-11-22 10:00:01,123 ERROR [main] c.e.Shop - order failed\n"
      "java.lang.IllegalStateException: no stock\n"
      "\tat com.example.Stock.take(Stock.java:42)\n"
      "\tat com.example.Shop.order(Shop.java:17)";
  const std::string next = "2026-11-22 10:00:02,000 INFO  [main] c.e.Shop - next";
  Write("app.log", trace.substr(0, 100));
  Follow();
  Write("app.log", trace.substr(100) + "\n" + next + "\n");
  ASSERT_TRUE(EventuallyHas({trace, next}));  // the last one after its time
  Write("app.log", next + " two\n\tat late");
  fs::rename(logs_ / "app.log", logs_ / "app.log.1");
  Write("app.log", next + " three\n");
  ASSERT_TRUE(EventuallyStored(4));
  EXPECT_EQ(Lines().count(next + " two"), 1u);
  EXPECT_EQ(Lines().count(next + " three"), 1u);
}

TEST_F(FilesTest, PositionsThatCannotBeReadAreNotIgnored) {
  std::ofstream(options_.positions) << "nonsense";
  const auto made = FileFollower::Make(options_, parts_);
  EXPECT_THAT(made.status(), testing::StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace yagura::ingestion
