// A backup that is taken while lines come in, and what is there once the machine was lost and the
// backup was restored on an empty one.

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cli/data_dir.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/clock.h"
#include "common/eventstore/client.h"
#include "common/redis/pool.h"
#include "services/archive/storage/pause_store.h"
#include "tests/e2e/customer.h"
#include "tests/e2e/suite_process.h"

namespace yagura::e2e {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kSerial[] = "FGT60FTK00000001";
constexpr int kLinesPerFile = 300;

std::string Line(int session) {
  const auto now = SystemClock()->Now().time_since_epoch().count();
  return fmt::format(
      "<189>date=2026-01-01 time=00:00:00 devname=\"fw-1\" devid=\"{}\" eventtime={} tz=\"+0000\" "
      "logid=\"0000000013\" type=\"traffic\" subtype=\"forward\" level=\"notice\" vd=\"root\" "
      "srcip=10.1.0.5 srcport=4711 dstip=192.0.2.80 dstport=443 action=\"accept\" proto=6 "
      "policyid=1 sessionid={} sentbyte=100 rcvdbyte=200",
      kSerial, now, session);
}

// A grave attack that was let through: a finding, an alert, a mail, a ticket.
std::string Attack(const std::string& source) {
  const auto now = SystemClock()->Now().time_since_epoch().count();
  return fmt::format(
      "<185>date=2026-01-01 time=00:00:00 devname=\"fw-1\" devid=\"{}\" eventtime={} tz=\"+0000\" "
      "logid=\"0419016384\" type=\"utm\" subtype=\"ips\" eventtype=\"signature\" level=\"alert\" "
      "vd=\"root\" severity=\"critical\" srcip={} dstip=10.1.0.9 action=\"detected\" proto=6 "
      "srcport=1025 dstport=80 attack=\"Some.Attack\" attackid=7",
      kSerial, now, source);
}

// Events are stored as they come, so that there is always an insert under way.
std::string Settings() {
  const auto file = fs::temp_directory_path() / fmt::format("yagura-backup-test-{}.yaml", getpid());
  std::ofstream(file) << "archive:\n  writer:\n    max_delay: 10ms\n    rows_per_insert: 50\n";
  return file.string();
}

// As somebody would who can write the folder of a backup.
void SumAnew(const std::string& folder) {
  const std::string sums = fmt::format(
      "cd '{0}' && find . -type f ! -name SHA256SUMS -printf '%P\\n' | xargs -d '\\n' sha256sum > "
      "'{0}.sums' && mv '{0}.sums' SHA256SUMS",
      folder);
  ASSERT_EQ(std::system(sums.c_str()), 0);
}

class Backup : public ::testing::Test {
 protected:
  Backup() {
    std::string made = (fs::temp_directory_path() / "yagura-backups-XXXXXX").string();
    EXPECT_NE(mkdtemp(made.data()), nullptr);
    backups_ = made;
    suite_.Run({"backup", "key", "--out", Key()});
  }
  ~Backup() override {
    fs::remove_all(backups_);
    fs::remove(settings_);
  }

  std::string Key() const { return backups_ / "key"; }
  std::string Folder(const std::string& name) const { return backups_ / name; }

  // Acknowledged once it returns.
  void Send(const std::vector<std::string>& lines) {
    const auto file = backups_ / "lines.log";
    std::ofstream out(file, std::ios::trunc);
    for (const std::string& line : lines) out << line << '\n';
    out.close();
    suite_.Run({"send", "--to", "grpc", file.string()});
  }
  void SendMore() {
    std::vector<std::string> lines;
    for (int i = 0; i < kLinesPerFile; ++i) lines.push_back(Line(acknowledged_ + i));
    Send(lines);
    acknowledged_ += kLinesPerFile;
  }

  // Everything that was on the machine is gone.
  void LoseTheMachine() {
    suite_.KillHard();
    // Its children die a moment later.
    EXPECT_TRUE(Eventually(seconds(30), [this] {
      std::error_code error;
      for (const auto& entry : fs::directory_iterator(suite_.data_dir(), error)) {
        fs::remove_all(entry.path(), error);
      }
      return fs::is_empty(suite_.data_dir(), error);
    }));
  }
  void StartAgain() {
    suite_.Start();
    customer_.Reconnect();
  }

  uint64_t Traffic() { return customer_.CountEvents("dst.port = 443").value_or(0); }
  // As many of them as there are different sessions.
  void ExpectNothingIsDoubled(uint64_t at_least, uint64_t at_most) {
    uint64_t before = 0;
    EXPECT_TRUE(Eventually(seconds(60),
                           [&] {
                             const uint64_t now = Traffic();
                             const bool settled = now >= at_least && now == before;
                             before = now;
                             return settled;
                           }))
        << "of " << at_least << " there are " << Traffic();
    const auto found = customer_.Search("dst.port = 443");
    ASSERT_TRUE(found);
    std::set<std::string> different;
    for (const auto& event : *found) different.insert(event.raw());
    EXPECT_EQ(different.size(), found->size());
    EXPECT_GE(found->size(), at_least);
    EXPECT_LE(found->size(), at_most);
    // The sum of the flows is that of the events.
    EXPECT_THAT(suite_.Run({"flow", "top", "--by", "dst_port", "--tenant", "acme"}),
                ::testing::HasSubstr(fmt::format("{}", found->size())));
  }

  fs::path backups_;
  const std::string settings_ = Settings();
  SuiteProcess suite_{{"--settings", settings_}};
  Customer customer_{suite_, {{"fw-1", kSerial, 1}}};
  std::atomic<int> acknowledged_{0};
};

TEST_F(Backup, UnderLoadBringsBackAllThatWasAcknowledgedOnce) {
  Send({Attack("198.51.100.7")});
  suite_.Run({"user", "create", "eve", "--tenant", "acme", "--email", "eve@acme.example", "--role",
              "viewer"});
  suite_.Run({"archive", "hold", "create", "--tenant", "acme", "--from", "7d", "--reason", "case"});
  ASSERT_TRUE(Eventually(seconds(60), [this] {
    const auto tickets = customer_.Tickets();
    const auto alerts = customer_.Alerts();
    return tickets && tickets->size() == 1 && alerts && alerts->size() == 1;
  }));
  const auto tickets = customer_.Tickets().value();
  const auto alerts = customer_.Alerts().value();

  std::jthread sending([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) SendMore();
  });
  ASSERT_TRUE(Eventually(seconds(60), [this] { return acknowledged_ >= 5 * kLinesPerFile; }));
  const int before = acknowledged_;
  const std::string told = suite_.Run({"backup", "--to", Folder("b"), "--key-file", Key(),
                                       "--limit", "200MiB", "--settings", settings_});
  const int after = acknowledged_;
  std::cout << told << before << " lines were acknowledged before, " << after << " after\n";
  sending.request_stop();
  sending.join();
  // The running suite is none the worse for it.
  ExpectNothingIsDoubled(static_cast<uint64_t>(acknowledged_),
                         static_cast<uint64_t>(acknowledged_));
  EXPECT_FALSE(fs::exists(suite_.data_dir() / "backup-staging"));
  EXPECT_TRUE(!fs::exists(suite_.data_dir() / "store" / "shadow") ||
              std::none_of(fs::directory_iterator(suite_.data_dir() / "store" / "shadow"), {},
                           [](const auto& entry) {
                             return entry.path().filename().string().starts_with("yagura");
                           }));
  suite_.Run({"backup", "verify", Folder("b"), "--key-file", Key()});
  EXPECT_EQ(
      std::system(fmt::format("cd '{}' && sha256sum -c --quiet SHA256SUMS", Folder("b")).c_str()),
      0);

  LoseTheMachine();
  fs::remove(settings_);
  std::cout << suite_.Run({"restore", "--from", Folder("b"), "--key-file", Key()});
  fs::copy(suite_.data_dir() / "settings.yaml", settings_);
  StartAgain();
  ExpectNothingIsDoubled(static_cast<uint64_t>(before), static_cast<uint64_t>(acknowledged_));
  const auto tickets_now = customer_.Tickets();
  ASSERT_TRUE(tickets_now);
  ASSERT_EQ(tickets_now->size(), tickets.size());
  EXPECT_EQ(tickets_now->at(0).name(), tickets[0].name());
  const auto alerts_now = customer_.Alerts();
  ASSERT_TRUE(alerts_now);
  ASSERT_EQ(alerts_now->size(), alerts.size());
  EXPECT_EQ(alerts_now->at(0).name(), alerts[0].name());
  EXPECT_THAT(suite_.Run({"user", "list", "--tenant", "acme"}), ::testing::HasSubstr("eve"));
  EXPECT_THAT(suite_.Run({"archive", "hold", "list", "--tenant", "acme"}),
              ::testing::HasSubstr("case"));
  suite_.Run({"audit", "verify", "--tenant", "acme"});
  suite_.Run({"archive", "verify", "--tenant", "acme", "--from", "2d"});

  // Life goes on.
  const uint64_t restored = Traffic();
  acknowledged_ = 1'000'000;
  SendMore();
  ExpectNothingIsDoubled(restored + kLinesPerFile, restored + kLinesPerFile);
  Send({Attack("198.51.100.8")});
  EXPECT_TRUE(Eventually(seconds(60), [this] {
    const auto now = customer_.Tickets();
    return now && now->size() == 2;
  }));
  suite_.Run({"audit", "verify", "--tenant", "acme"});
  suite_.Run({"archive", "verify", "--tenant", "acme", "--from", "2d"});
  suite_.Stop();
}

TEST_F(Backup, ThatIsKilledLeavesNothingThatLooksWholeAndTheNextOneTidiesUp) {
  SendMore();
  for (int i = 0; i < 3; ++i) {
    const std::string folder = Folder(fmt::format("killed-{}", i));
    auto child =
        suite_.Launch({"backup", "--to", folder, "--plain", "--limit", "64KiB"}, Folder("out"));
    // At another place each time: in the moment, at the dumps, at the parts.
    const fs::path sign = i == 0   ? suite_.data_dir() / "backup-staging" / "archive"
                          : i == 1 ? fs::path(folder) / "redis" / "state.rdb"
                                   : fs::path(folder) / "store";
    EXPECT_TRUE(Eventually(seconds(60), [&] { return fs::exists(sign); }))
        << ReadAll(Folder("out"));
    child.Signal(SIGKILL);
    EXPECT_TRUE(Eventually(seconds(30), [&] { return child.ExitStatus().has_value(); }));
    EXPECT_THAT(suite_.Run({"backup", "verify", folder}, 1),
                ::testing::HasSubstr("BACKUP_INCOMPLETE"));
    // The next one into the same folder takes its place; what is whole is not overwritten.
    if (i == 2) {
      suite_.Run({"backup", "--to", folder, "--plain"});
      EXPECT_THAT(suite_.Run({"backup", "verify", folder}), ::testing::HasSubstr("is whole"));
      EXPECT_THAT(suite_.Run({"backup", "--to", folder, "--plain"}, 1),
                  ::testing::HasSubstr("BACKUP_EXISTS"));
    }
  }
  // Ctrl-C takes away what there is.
  auto child = suite_.Launch({"backup", "--to", Folder("stopped"), "--plain", "--limit", "64KiB"},
                             Folder("out"));
  EXPECT_TRUE(Eventually(seconds(60), [&] {
    return fs::exists(fs::path(Folder("stopped")) / "redis") || child.ExitStatus();
  }));
  child.Signal(SIGINT);
  EXPECT_TRUE(Eventually(seconds(30), [&] { return child.ExitStatus().has_value(); }));
  EXPECT_FALSE(fs::exists(Folder("stopped"))) << ReadAll(Folder("out"));

  // What was killed holds nothing back.
  SendMore();
  ExpectNothingIsDoubled(static_cast<uint64_t>(acknowledged_),
                         static_cast<uint64_t>(acknowledged_));
  suite_.Run({"backup", "--to", Folder("whole"), "--plain"});
  suite_.Run({"backup", "verify", Folder("whole")});
  EXPECT_FALSE(fs::exists(suite_.data_dir() / "backup-staging"));
  suite_.Stop();
}

TEST_F(Backup, IsRestoredWholeOrNotAtAll) {
  SendMore();
  ExpectNothingIsDoubled(kLinesPerFile, kLinesPerFile);
  EXPECT_THAT(suite_.Run({"backup", "--to", Folder("b")}, 1),
              ::testing::HasSubstr("BACKUP_KEY_WANTED"));
  EXPECT_THAT(suite_.Run({"backup", "--to", suite_.data_dir() / "b", "--plain"}, 1),
              ::testing::HasSubstr("BACKUP_INSIDE"));
  EXPECT_THAT(
      suite_.Run({"backup", "--to", Folder("b"), "--plain", "--store", "http://127.0.0.1:8123"}, 1),
      ::testing::HasSubstr("STORE_NOT_HERE"));
  suite_.Run({"backup", "--to", Folder("b"), "--key-file", Key(), "--settings", settings_});

  // Into what holds something: no, and nothing there changes.
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("b"), "--key-file", Key()}, 1),
              ::testing::HasSubstr("DATA_DIR_NOT_EMPTY"));
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("b"), "--key-file", Key(), "--force"}, 1),
              ::testing::HasSubstr("ALREADY_RUNNING"));
  EXPECT_EQ(Traffic(), uint64_t{kLinesPerFile});

  // By addresses, and without the event store.
  suite_.Run({"backup", "--to", Folder("redis"), "--plain", "--without-store", "--state-redis",
              suite_.Endpoint("redis_state"), "--flow-redis", suite_.Endpoint("redis_flow")});
  EXPECT_TRUE(fs::exists(Folder("redis") + "/redis/flow.rdb"));
  EXPECT_FALSE(fs::exists(Folder("redis") + "/store"));
  // As a later release would make it.
  suite_.Run({"backup", "--to", Folder("later"), "--plain"});
  const std::string later =
      std::regex_replace(ReadAll(Folder("later") + "/manifest.json"),
                         std::regex("(\"store_schema[a-z_]*\"): [0-9]+"), "$1: 4711");
  std::ofstream(Folder("later") + "/manifest.json") << later;
  SumAnew(Folder("later"));

  LoseTheMachine();
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("later"), "--plain"}, 1),
              ::testing::HasSubstr("SCHEMA_TOO_NEW"));
  // A plain one in the place of an encrypted one.
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"backup", "verify", Folder("redis"), "--key-file", Key()},
           {"restore", "--from", Folder("redis"), "--key-file", Key()},
           {"restore", "--from", Folder("redis")}}) {
    EXPECT_THAT(suite_.Run(command, 1), ::testing::HasSubstr("BACKUP_NOT_ENCRYPTED"));
  }
  suite_.Run({"backup", "key", "--out", Folder("other-key")});
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("b")}, 1),
              ::testing::HasSubstr("BACKUP_KEY_WANTED"));
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("b"), "--key-file", Folder("other-key")}, 1),
              ::testing::HasSubstr("BACKUP_KEY_WRONG"));
  // One bit of one file of the event store.
  fs::copy(Folder("b"), Folder("flipped"), fs::copy_options::recursive);
  for (const auto& entry : fs::recursive_directory_iterator(Folder("flipped") + "/store/events")) {
    if (entry.path().filename() != "data.bin.enc") continue;
    std::string text = ReadAll(entry.path());
    text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
    std::ofstream(entry.path(), std::ios::binary) << text;
    break;
  }
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("flipped"), "--key-file", Key()}, 1),
              ::testing::HasSubstr("BACKUP_DAMAGED"));
  EXPECT_FALSE(fs::exists(suite_.data_dir() / "yagura-data"));

  // One that is killed: `up` refuses what it left, and the next one takes it over.
  auto child =
      suite_.Launch({"restore", "--from", Folder("b"), "--key-file", Key()}, Folder("out"));
  EXPECT_TRUE(Eventually(seconds(60), [this] {
    return fs::exists(suite_.data_dir() / "redis-flow") || fs::exists(suite_.data_dir() / "store");
  }));
  child.Signal(SIGKILL);
  EXPECT_TRUE(Eventually(seconds(30), [&] { return child.ExitStatus().has_value(); }));
  EXPECT_THAT(suite_.Run({"up"}, 1), ::testing::HasSubstr("RESTORE_UNFINISHED"));
  suite_.Run({"restore", "--from", Folder("b"), "--key-file", Key()});
  StartAgain();
  ExpectNothingIsDoubled(kLinesPerFile, kLinesPerFile);
  // The next backup, with the settings where the restore has put them.
  suite_.Run({"backup", "--to", Folder("next"), "--key-file", Key(), "--settings",
              suite_.data_dir() / "settings.yaml"});
  suite_.Run({"backup", "verify", Folder("next"), "--key-file", Key()});
  suite_.Stop();

  // What is there is moved aside where that is said.
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("next"), "--key-file", Key(), "--force"}),
              ::testing::HasSubstr(".before-restore-"));
  StartAgain();
  ExpectNothingIsDoubled(kLinesPerFile, kLinesPerFile);
  suite_.Stop();

  // Where that ends badly it is told as well.
  fs::rename(Folder("redis") + "/redis/flow.rdb", Folder("redis") + "/redis/gone.rdb");
  const std::string lacking = std::regex_replace(ReadAll(Folder("redis") + "/manifest.json"),
                                                 std::regex("redis/flow.rdb"), "redis/gone.rdb");
  std::ofstream(Folder("redis") + "/manifest.json") << lacking;
  SumAnew(Folder("redis"));
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("redis"), "--plain", "--force"}, 1),
              ::testing::AllOf(::testing::HasSubstr("BACKUP_WITHOUT_DATA"),
                               ::testing::HasSubstr(".before-restore-")));
  for (const auto& entry : fs::directory_iterator(suite_.data_dir().parent_path())) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(suite_.data_dir().filename().string() + ".before-restore-")) {
      fs::remove_all(entry.path());
    }
  }
}

// What waits before the flow Redis: as of the moment, not of the beginning, as the flow remembers
// for a day only what it took in between.
TEST_F(Backup, HoldsTheFilesOfIntakeAsOfTheMoment) {
  const fs::path intake = suite_.data_dir() / "ingestion";
  fs::create_directories(intake);
  std::ofstream(intake / "early") << "early";
  // The moment waits for another one's pause.
  redis::Endpoint flow;
  flow.address = suite_.Endpoint("redis_flow");
  const archive::PauseStore pause(std::make_shared<redis::Pool>(flow, 1));
  ASSERT_TRUE(pause.Ask("another", seconds(120)).ok());
  auto child = suite_.Launch({"backup", "--to", Folder("b"), "--plain"}, Folder("out"));
  EXPECT_TRUE(Eventually(seconds(60), [this] {
    return fs::exists(suite_.data_dir() / "backup-staging" / "keys");
  })) << ReadAll(Folder("out"));
  fs::remove(intake / "early");
  std::ofstream(intake / "late") << "late";
  EXPECT_TRUE(pause.End("another").ok());
  EXPECT_TRUE(Eventually(seconds(120), [&] { return child.ExitStatus().has_value(); }));
  EXPECT_EQ(child.ExitStatus(), 0) << ReadAll(Folder("out"));
  const fs::path taken = fs::path(Folder("b")) / "data" / "ingestion";
  EXPECT_TRUE(fs::exists(taken / "late"));
  EXPECT_FALSE(fs::exists(taken / "early"));
  suite_.Stop();
}

// Events on another disk of the store: they come back to its first one.
TEST_F(Backup, TakesEventsOnAllVolumesOfTheStore) {
  suite_.Stop();
  const fs::path config = backups_ / "disks.xml";
  std::ofstream(config) << "<clickhouse><storage_configuration><disks><cold_disk><type>local</type>"
                           "<path>"
                        << (backups_ / "cold/").string()
                        << "</path></cold_disk></disks><policies><tiered><volumes><default><disk>"
                           "default</disk></default><cold><disk>cold_disk</disk></cold></volumes>"
                           "</tiered></policies></storage_configuration></clickhouse>";
  std::ofstream(settings_) << "store:\n  config_file: " << config.string()
                           << "\narchive:\n  store:\n    storage_policy: tiered\n"
                              "  writer:\n    max_delay: 10ms\n";
  StartAgain();
  SendMore();
  ExpectNothingIsDoubled(kLinesPerFile, kLinesPerFile);
  eventstore::Client store({.addresses = {suite_.Endpoint("store")}});
  const auto days = store.Select({.sql = "SELECT DISTINCT partition_id FROM system.parts WHERE "
                                         "database = 'yagura' AND table = 'events' AND active"});
  ASSERT_TRUE(days.ok()) << days.status();
  for (const auto& row : days->rows) {
    const auto moved = store.Execute(
        {.sql = fmt::format("ALTER TABLE yagura.events MOVE PARTITION ID '{}' TO VOLUME 'cold'",
                            row.at(0).text)});
    ASSERT_TRUE(moved.ok()) << moved;
  }
  suite_.Run({"backup", "--to", Folder("b"), "--plain", "--settings", settings_});
  LoseTheMachine();
  fs::remove_all(backups_ / "cold");
  EXPECT_THAT(suite_.Run({"restore", "--from", Folder("b"), "--plain"}, 1),
              ::testing::HasSubstr("STORE_CONFIG_WANTED"));
  suite_.Run({"restore", "--from", Folder("b"), "--plain", "--store-config", config.string()});
  StartAgain();
  ExpectNothingIsDoubled(kLinesPerFile, kLinesPerFile);
  suite_.Stop();
}

TEST_F(Backup, OnAFullDiskSaysSoAndLeavesNothing) {
  SendMore();
  fs::create_directory(Folder("small"));
  if (mount("tmpfs", Folder("small").c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "no file system may be mounted here";
  }
  EXPECT_THAT(suite_.Run({"backup", "--to", Folder("small"), "--plain"}, 1),
              ::testing::HasSubstr("DISK_FULL"));
  EXPECT_TRUE(fs::is_empty(Folder("small")));
  EXPECT_EQ(umount(Folder("small").c_str()), 0);
  suite_.Stop();
}

}  // namespace
}  // namespace yagura::e2e
