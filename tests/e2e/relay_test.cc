// Relays at two sites of a customer that use the same private addresses: kills of a relay and of
// the suite, and in the end every line is there once, at its own site.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "common/process/child_process.h"
#include "common/testing/process.h"
#include "tests/e2e/customer.h"
#include "tests/e2e/suite_process.h"

namespace yagura::e2e {
namespace {

using std::chrono::seconds;

constexpr int kLines = 3'000;  // a round and site

class RelayTest : public ::testing::Test {
 protected:
  struct Site {
    std::string id;
    std::filesystem::path folder;
    std::optional<ChildProcess> relay;
    std::set<std::string> sent;
    size_t probes = 0;
  };

  RelayTest() {
    suite_.Run({"site", "create", "branch", "--tenant", "acme", "--display-name", "Branch"});
    for (const std::string site : {"hq", "branch"}) {
      suite_.Run({"source", "create", "app-" + site, "--tenant", "acme", "--site", site, "--device",
                  "app-" + site, "--listener", "relay", "--cidr", "127.0.0.0/8"});
      sites_[site].id = site;
      sites_[site].folder = suite_.data_dir().string() + ".relay-" + site;
    }
    key_ = suite_.data_dir().string() + ".relay.key";
    suite_.Run({"key", "create", "relay", "--tenant", "acme", "--role", "collector", "--relay-site",
                "hq", "--relay-site", "branch", "--secret-file", key_.string()});
  }
  ~RelayTest() override {
    for (auto& [id, site] : sites_) {
      site.relay.reset();
      std::filesystem::remove_all(site.folder);
      std::filesystem::remove(Output(site));
    }
    std::filesystem::remove(key_);
  }

  static std::filesystem::path Output(const Site& site) { return site.folder.string() + ".out"; }

  void StartRelay(Site& site, bool over_udp = false) {
    std::filesystem::remove(Output(site));
    std::filesystem::remove(site.folder / "relay-status.json");
    ChildProcess::Options options;
    options.arguments = {SuiteProcess::Program(),
                         "--endpoint",
                         suite_.Endpoint("grpc"),
                         "--api-key-file",
                         key_.string(),
                         "--data-dir",
                         site.folder.string(),
                         "relay",
                         "--tenant",
                         "acme",
                         "--site",
                         site.id,
                         "--syslog-tcp",
                         "127.0.0.1:0"};
    if (over_udp)
      options.arguments.insert(options.arguments.end(), {"--syslog-udp", "127.0.0.1:0"});
    options.output = Output(site);
    site.relay.emplace(ChildProcess::Start(options).value());
    ASSERT_TRUE(Eventually(seconds(20), [&] {
      return !Address(site).empty() && std::filesystem::exists(site.folder / "relay-status.json");
    })) << ReadAll(Output(site));
  }
  static std::string Address(const Site& site, const std::string& listener = "syslog_tcp") {
    std::smatch found;
    const std::string output = ReadAll(Output(site));
    const std::regex pattern(listener + " +(\\S+)[^]*data folder");
    return std::regex_search(output, found, pattern) ? found[1].str() : "";
  }

  // On the relay's disk when it returns.
  void Send(Site& site, const std::string& round, int lines = kLines) {
    const auto file = suite_.data_dir() / "lines.log";
    {
      std::ofstream out(file);
      for (int i = 0; i < lines; ++i) {
        const std::string line = fmt::format("<13>app: {} {} {}", site.id, round, i);
        out << line << '\n';
        site.sent.insert(line);
      }
    }
    const uint64_t before = Status(site, "received_lines");
    suite_.Run({"send", "--to", "syslog-tcp", "--address", Address(site), file.string()});
    ASSERT_TRUE(Eventually(seconds(60), [&] {
      return Status(site, "received_lines") >= before + static_cast<uint64_t>(lines);
    })) << ReadAll(site.folder / "relay-status.json");
  }
  static uint64_t Status(const Site& site, const std::string& what) {
    std::smatch found;
    const std::string text = ReadAll(site.folder / "relay-status.json");
    const std::regex pattern("\"" + what + "\":(\\d+)");
    return std::regex_search(text, found, pattern) ? std::stoull(found[1]) : 0;
  }

  // By `relay status`.
  static bool IsSaidToRun(const Site& site) {
    const auto output = site.folder.string() + ".status";
    ChildProcess::Options options;
    options.arguments = {SuiteProcess::Program(), "--data-dir", site.folder.string(), "relay",
                         "status"};
    options.output = output;
    auto child = ChildProcess::Start(options).value();
    EXPECT_TRUE(Eventually(seconds(30), [&] { return child.ExitStatus().has_value(); }));
    const bool succeeds = child.ExitStatus() == 0;
    EXPECT_NE(ReadAll(output).find(succeeds ? "\"runs\":true" : "\"runs\":false"),
              std::string::npos)
        << ReadAll(output);
    std::filesystem::remove(output);
    return succeeds;
  }

  // Ingestion learns of new sources within seconds: so many lines came before.
  void AwaitSource(Site& site) {
    int tries = 0;
    ASSERT_TRUE(Eventually(seconds(60),
                           [&] {
                             Send(site, fmt::format("probe {}", tries++), 1);
                             return CountOfSource(site) > 0;
                           }))
        << suite_.Run({"source", "list"}) << ReadAll(Output(site));
    site.probes = static_cast<size_t>(tries);
  }

  uint64_t CountOfSource(const Site& site) {
    return customer_.CountEvents(fmt::format("site = {0} AND device = \"app-{0}\"", site.id))
        .value_or(0);
  }
  uint64_t Count(const Site& site) {
    return customer_.CountEvents(fmt::format("site = {0} AND origin = \"127.0.0.1\"", site.id))
        .value_or(0);
  }

  SuiteProcess suite_;
  Customer customer_{suite_, {}};
  std::map<std::string, Site> sites_;
  std::filesystem::path key_;
};

TEST_F(RelayTest, KillsOfRelayAndSuiteLoseAndDoubleNothing) {
  for (auto& [id, site] : sites_) StartRelay(site);
  for (auto& [id, site] : sites_) AwaitSource(site);
  for (auto& [id, site] : sites_) Send(site, "first");
  Site& hq = sites_["hq"];

  // The suite is away; the relay is killed with what waits on its disk, and so is what it starts.
  suite_.KillHard();
  for (auto& [id, site] : sites_) Send(site, "suite away");
  EXPECT_TRUE(IsSaidToRun(hq));
  hq.relay->Stop(std::chrono::milliseconds(0));
  EXPECT_FALSE(IsSaidToRun(hq));
  StartRelay(hq);
  Send(hq, "after a kill");
  suite_.Start();
  customer_.Reconnect();
  // Again while it sends.
  for (int i = 0; i < 3; ++i) {
    Send(hq, fmt::format("round {}", i));
    hq.relay->Stop(std::chrono::milliseconds(0));
    StartRelay(hq);
  }
  for (auto& [id, site] : sites_) {
    EXPECT_TRUE(Eventually(seconds(120), [&] { return Count(site) >= site.sent.size(); }))
        << id << ": " << Count(site) << " of " << site.sent.size() << "\n"
        << ReadAll(site.folder / "relay-status.json") << ReadAll(Output(site));
  }
  for (auto& [id, site] : sites_) {
    site.relay->Stop(seconds(20));  // by SIGTERM
    EXPECT_EQ(site.relay->ExitStatus(), 0) << ReadAll(Output(site));
    EXPECT_EQ(Count(site), site.sent.size()) << id;
    EXPECT_GE(CountOfSource(site) + site.probes, site.sent.size()) << id;
    EXPECT_EQ(Status(site, "waiting_bytes"), 0u);
    EXPECT_EQ(Status(site, "lost_lines"), 0u);
  }
  // Nothing beside that, of any site.
  EXPECT_EQ(customer_.CountEvents().value_or(0),
            sites_["hq"].sent.size() + sites_["branch"].sent.size());
  // Each once, not one twice in the place of another.
  std::multiset<std::string> found;
  const auto events = customer_.Search("site = hq AND \"round 1\"");
  ASSERT_TRUE(events.has_value());
  for (const auto& event : *events) found.insert(event.raw());
  EXPECT_EQ(found.size(), static_cast<size_t>(kLines));
  EXPECT_EQ(std::set<std::string>(found.begin(), found.end()).size(), found.size());
  suite_.Stop();
}

// It is stopped while more comes than the kernel keeps for it.
TEST_F(RelayTest, WhatTheKernelDropsAtARelayStandsInTheCoverage) {
  Site& hq = sites_["hq"];
  StartRelay(hq, /*over_udp=*/true);
  AwaitSource(hq);
  constexpr uint64_t kDatagrams = 40'000;
  const auto file = suite_.data_dir() / "flood.log";
  {
    std::ofstream out(file);
    for (uint64_t i = 0; i < kDatagrams; ++i) out << "<13>app: flood " << i << '\n';
  }
  yagura::testing::StopChild(hq.relay->pid());
  suite_.Run({"send", "--to", "syslog-udp", "--address", Address(hq, "syslog_udp"), file.string()});
  ASSERT_EQ(kill(hq.relay->pid(), SIGCONT), 0);

  const auto dropped = [&]() -> uint64_t {
    const std::string text = suite_.Run({"coverage", "list", "--tenant", "acme", "-o", "json"});
    const std::regex pattern("\"kernel_drop_count\": *(\\d+)");
    uint64_t sum = 0;
    for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at) {
      sum += std::stoull((*at)[1]);
    }
    return sum;
  };
  uint64_t events = 0;
  uint64_t drops = 0;
  EXPECT_TRUE(Eventually(seconds(90),
                         [&] {
                           events = customer_.CountEvents("\"flood\"").value_or(0);
                           drops = dropped();
                           return events + drops >= kDatagrams;
                         }))
      << events << " events, " << drops << " drops\n"
      << suite_.Run({"coverage", "list", "--tenant", "acme"});
  EXPECT_EQ(events + drops, kDatagrams);
  EXPECT_GT(drops, 0u);
  EXPECT_GT(events, 0u);
  suite_.Stop();
}

}  // namespace
}  // namespace yagura::e2e
