// The folder of a relay: whose it is, and what it says of the relay.
#include "services/ingestion/relay/relay_folder.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

#include "common/clock/clock.h"
#include "common/clock/proto_time.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::ingestion {
namespace {

namespace fs = std::filesystem;
using testing::Eventually;
using testing::IsOk;
using testing::StatusIs;

class RelayFolderTest : public ::testing::Test {
 protected:
  ~RelayFolderTest() override { fs::remove_all(folder_); }
  void Put(const fs::path& file) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "x";
  }
  size_t Entries(const fs::path& folder) {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
  }

  const fs::path folder_ = testing::MakeTemporaryFolder();
};

TEST_F(RelayFolderTest, WhatIsSomebodyElsesStaysUntouched) {
  for (const char* file : {"foreign/notes.txt", "suite/yagura-data"}) {
    Put(folder_ / file);
    const fs::path used = (folder_ / file).parent_path();
    const auto refused = TakeRelayFolder(used);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition)) << file;
    EXPECT_NE(refused.status().message().find(used.string()), std::string::npos);
    EXPECT_EQ(Entries(used), 1u);
  }
  // Nor a suite's into which a relay was let once.
  Put(folder_ / "suite/relay.lock");
  fs::create_directories(folder_ / "suite/spool");
  EXPECT_THAT(TakeRelayFolder(folder_ / "suite"), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(RelayFolderTest, ARelaysOwnIsTakenAgainAndByOneAtATime) {
  const fs::path own = folder_ / "new/own";
  {
    const auto lock = TakeRelayFolder(own);
    ASSERT_THAT(lock, IsOk());
    Put(own / "spool/x");
    EXPECT_THAT(TakeRelayFolder(own), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_THAT(TakeRelayFolder(own), IsOk());
  fs::remove(own / "yagura-relay");  // as one of before left it
  EXPECT_THAT(TakeRelayFolder(own), IsOk());
  fs::create_directories(folder_ / "fresh/lost+found");
  EXPECT_THAT(TakeRelayFolder(folder_ / "fresh"), IsOk());
}

TEST_F(RelayFolderTest, AStatusTellsWhetherTheRelayRunsAndHowOldItIs) {
  const fs::path own = folder_ / "own";
  const TimePoint now = SystemClock()->Now();
  EXPECT_THAT(ReadRelayStatus(own, now), StatusIs(absl::StatusCode::kNotFound));
  {
    const auto lock = TakeRelayFolder(own);
    ASSERT_THAT(lock, IsOk());
    const std::string text = "{\"time\":\"" + FormatTime(now) + "\",\"connected\":true}\n";
    ASSERT_THAT(WriteRelayStatus(own, text), IsOk());
    const auto fresh = ReadRelayStatus(own, now + std::chrono::seconds(1));
    ASSERT_THAT(fresh, IsOk());
    EXPECT_TRUE(fresh->runs);
    EXPECT_FALSE(fresh->is_old);
    EXPECT_TRUE(fresh->text.starts_with("{\"runs\":true,\"is_old\":false,\"age_seconds\":1,"))
        << fresh->text;
    const auto late = ReadRelayStatus(own, now + std::chrono::seconds(60));
    ASSERT_THAT(late, IsOk());
    EXPECT_TRUE(late->runs);
    EXPECT_TRUE(late->is_old);
  }
  // A relay that was killed has said nothing more.
  const auto ended = ReadRelayStatus(own, now + std::chrono::seconds(1));
  ASSERT_THAT(ended, IsOk());
  EXPECT_FALSE(ended->runs);
  EXPECT_TRUE(ended->is_old);
  EXPECT_NE(ended->text.find("\"runs\":false"), std::string::npos);
  EXPECT_NE(ended->text.find("\"connected\":false"), std::string::npos);
  std::ofstream(own / "relay-status.json") << "{\"ti";
  EXPECT_THAT(ReadRelayStatus(own, now), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(RelayFolderTest, ARunningRelaySaysSo) {
  std::ofstream(folder_ / "key") << "ygr_acme_relay_secret";
  RelayOptions options;
  options.data_dir = folder_ / "relay";
  options.tenant = "acme";
  options.site = "hq";
  options.endpoint = "127.0.0.1:1";
  options.api_key_file = folder_ / "key";
  options.syslog_tcp = "127.0.0.1:0";
  {
    const auto relay = Relay::Start(options, Logger::Null());
    ASSERT_THAT(relay, IsOk());
    ASSERT_TRUE(Eventually([&] {
      const auto report = Relay::ReadStatus(options.data_dir);
      return report.ok() && report->runs && !report->is_old;
    }));
  }
  const auto report = Relay::ReadStatus(options.data_dir);
  ASSERT_THAT(report, IsOk());
  EXPECT_FALSE(report->runs);
  options.data_dir = folder_;  // holds the key
  EXPECT_THAT(Relay::Start(options, Logger::Null()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace yagura::ingestion
