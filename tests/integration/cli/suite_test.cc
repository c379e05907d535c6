#include <curl/curl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cli/data_dir.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/process/child_process.h"
#include "common/testing/process.h"
#include "common/text/text.h"
#include "tests/e2e/suite_process.h"

// The real `yagura` with a suite of its own, as people use it.
namespace yagura::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::chrono::seconds kSoon{30};

size_t Swallow(char* /*data*/, size_t size, size_t count, void* /*nothing*/) {
  return size * count;
}

std::string Samples() {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  return std::string(source != nullptr ? source : ".") + "/content/samples/fortigate.log";
}

TEST(Suite, PlaysTheDemoAsOftenAsItIsAsked) {
  const e2e::SuiteProcess suite;
  for (int run = 1; run <= 2; ++run) {
    EXPECT_THAT(suite.Run({"demo", "--samples", Samples()}),
                AllOf(HasSubstr("Played 440 lines"), HasSubstr("5 findings:"),
                      HasSubstr("5 alerts, 4 messages delivered, 5 tickets")))
        << "run " << run;
  }
  // As the README has it; the logs do not reach back for anything to be new.
  EXPECT_THAT(suite.Run({"investigate", "192.0.2.66", "--tenant", "acme", "--limit", "3"}),
              AllOf(HasSubstr("Apache.Log4j.Error"), HasSubstr("Port scan"),
                    HasSubstr("logs reach back to"), Not(HasSubstr("  true   "))));
}

TEST(Suite, ThatRunsIsUsedByUpAndStoppedByDownAsOftenAsAsked) {
  e2e::SuiteProcess suite;
  EXPECT_THAT(suite.Run({"up", "--detach"}),
              AllOf(StartsWith("Yagura is up already"), HasSubstr(suite.Endpoint("grpc"))));
  EXPECT_THAT(suite.Run({"up"}, 1), HasSubstr("ALREADY_RUNNING"));
  EXPECT_EQ(suite.Run({"down"}), "Yagura is down.\n");
  EXPECT_THAT(suite.Run({"down"}), StartsWith("No suite runs in "));
}

TEST(Suite, GivesItsEventStoreAConfiguration) {
  const auto folder = testing::MakeTemporaryFolder();
  const auto file = [&folder](const std::string& name, const std::string& text) {
    std::ofstream(folder / name) << text;
    return (folder / name).string();
  };
  const std::string config =
      file("disks.xml",
           "<clickhouse><storage_configuration>"
           "<disks><cold_disk><type>local</type><path>" +
               (folder / "cold/").string() +
               "</path></cold_disk></disks>"
               "<policies><tiered><volumes><default><disk>default</disk></default>"
               "<cold><disk>cold_disk</disk></cold></volumes></tiered></policies>"
               "</storage_configuration></clickhouse>");
  const std::string settings = file("settings.yaml", "store:\n  config_file: " + config +
                                                         "\narchive:\n  store:\n    storage_policy:"
                                                         " tiered\n");
  {
    e2e::SuiteProcess suite({"--settings", settings});
    const std::string line =
        e2e::ReadAll("/proc/" + std::to_string(suite.Child("store")) + "/cmdline");
    EXPECT_THAT(line, HasSubstr(std::string("--config-file") + '\0' + config));
    suite.Stop();
  }
  const std::string wrong = file("wrong.yaml", "store:\n  config_file: /nowhere/disks.xml\n");
  ChildProcess::Options up;
  up.arguments = {e2e::SuiteProcess::Program(),
                  "--data-dir",
                  (folder / "data").string(),
                  "up",
                  "--settings",
                  wrong};
  up.output = folder / "out";
  auto refused = ChildProcess::Start(up).value();
  EXPECT_TRUE(e2e::Eventually(kSoon, [&] { return refused.ExitStatus().has_value(); }));
  EXPECT_THAT(e2e::ReadAll(up.output), HasSubstr("store.config_file"));
  std::filesystem::remove_all(folder);
}

TEST(Suite, ToldOfItsChildrenStaysTrue) {
  const e2e::SuiteProcess suite;
  const std::string before = suite.Endpoint("pid_redis_state");
  ASSERT_EQ(before, std::to_string(suite.Child("state")));
  ASSERT_EQ(kill(suite.Child("state"), SIGKILL), 0);
  EXPECT_TRUE(e2e::Eventually(kSoon, [&] {
    const auto now = ReadEndpoints(suite.data_dir());
    const auto at = now->find("pid_redis_state");
    return at != now->end() && at->second != before &&
           at->second == std::to_string(suite.Child("state"));
  }));
}

TEST(Suite, TakesSyslogOverTlsUnderTheCertificateThatItMadeItself) {
  e2e::SuiteProcess suite;
  suite.Run({"tenant", "create", "acme", "--display-name", "Acme"});
  suite.Run({"source", "create", "fw", "--tenant", "acme", "--listener", "syslog_tls"});
  // The refresher asks for sources every five seconds: lines before that are in quarantine.
  const auto send = [&] {
    EXPECT_THAT(suite.Run({"send", Samples(), "--to", "syslog-tls"}), HasSubstr("440 lines"));
    return !suite.Run({"event", "count", "--tenant", "acme"}).starts_with("0 ");
  };
  EXPECT_TRUE(e2e::Eventually(kSoon, send));
  const std::string address = suite.Endpoint("syslog_tls");
  EXPECT_THAT(suite.Run({"send", Samples(), "--to", "syslog-tls", "--address", address}, 1),
              HasSubstr("SERVER_NOT_TRUSTED"));
  const std::string certificate = SyslogCertificateFile(suite.data_dir());
  const auto made = std::filesystem::last_write_time(certificate);
  suite.Stop();
  suite.Start();
  EXPECT_EQ(std::filesystem::last_write_time(certificate), made);
  EXPECT_THAT(suite.Run({"send", Samples(), "--to", "syslog-tls", "--address",
                         suite.Endpoint("syslog_tls"), "--ca", certificate}),
              HasSubstr("440 lines"));
}

TEST(Suite, ProvesWhatItStoredAndSaysWhyItCannot) {
  e2e::SuiteProcess suite;
  suite.Run({"tenant", "create", "acme", "--display-name", "Acme"});
  suite.Run({"source", "create", "fw", "--tenant", "acme", "--listener", "syslog_tls"});
  EXPECT_TRUE(e2e::Eventually(kSoon, [&] {
    suite.Run({"send", Samples(), "--to", "syslog-tls"});
    return !suite.Run({"event", "count", "--tenant", "acme"}).starts_with("0 ");
  }));
  const std::vector<std::string> verify = {"archive", "verify", "--tenant", "acme",
                                           "--from",  "24h",    "-o",       "json"};
  // What was counted may be what is received and not stored yet, which a note tells of.
  EXPECT_TRUE(e2e::Eventually(
      kSoon, [&] { return suite.Run(verify).find("\"verified_events\":") != std::string::npos; }));
  EXPECT_THAT(suite.Run({"archive", "verify", "--tenant", "nosuch", "--from", "24h"}, 1),
              HasSubstr("tenants/nosuch does not exist [RESOURCE_NOT_FOUND]"));
  EXPECT_THAT(suite.Run({"archive", "verify", "--tenant", "acme", "--day", "today"}, 1),
              HasSubstr("first_day"));
}

TEST(Suite, TakesHecOverHttpWithAnApiKeyOfItsDirectory) {
  const e2e::SuiteProcess suite;
  suite.Run({"tenant", "create", "acme", "--display-name", "Acme"});
  const auto secret = suite.data_dir() / "collector.key";
  suite.Run({"key", "create", "hec", "--tenant", "acme", "--role", "collector", "--secret-file",
             secret.string()});
  const auto post = [&](const std::string& key) {
    long status = 0;
    CURL* curl = curl_easy_init();
    curl_slist* headers = curl_slist_append(nullptr, ("Authorization: Splunk " + key).c_str());
    const std::string url = "http://" + suite.Endpoint("http") + "/services/collector/event";
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, R"({"event":"over HTTP"})");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Swallow);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
  };
  EXPECT_EQ(post("ygr_acme_hec_guess"), 401);
  const std::string key(Trim(e2e::ReadAll(secret)));
  // Until its ingestion knows the directory's sources, it asks to come back.
  EXPECT_TRUE(e2e::Eventually(kSoon, [&] { return post(key) == 200; }));
  EXPECT_TRUE(e2e::Eventually(kSoon, [&] {
    return suite.Run({"event", "count", "--tenant", "acme"}).starts_with("1 ");
  }));
  suite.Run({"key", "delete", "hec", "--tenant", "acme"});
  EXPECT_TRUE(e2e::Eventually(kSoon, [&] { return post(key) == 401; }));
}

TEST(Suite, FollowsFilesThroughKillsAndRotationAndLosesAndDoublesNothing) {
  const auto logs = testing::MakeTemporaryFolder();
  const auto settings = logs / "settings.yaml";
  std::ofstream(settings) << "ingestion: {files_interval: 20ms, files: [{name: file_app, paths: [\""
                          << (logs / "app*.log").string() << "\"]}]}\n";
  e2e::SuiteProcess suite({"--settings", settings.string()});
  suite.Run({"tenant", "create", "acme", "--display-name", "Acme"});
  constexpr int kLines = 30'000;
  constexpr int kKills = 3;
  constexpr int kLinesAKill = kLines / (kKills + 1);
  std::atomic<int> written = 0;
  std::atomic<int> kills = 0;
  // Every kill falls into the middle of what is being written.
  std::jthread writer([&] {
    for (int i = 0; i < kLines; ++i) {
      if (i > 0 && i % kLinesAKill == 0) {
        EXPECT_TRUE(
            e2e::Eventually(std::chrono::seconds(60), [&] { return kills >= i / kLinesAKill; }));
      }
      if (i % 10'000 == 9'000) {
        std::filesystem::rename(logs / "app.log", logs / ("app." + std::to_string(i) + ".log"));
      }
      std::ofstream(logs / "app.log", std::ios::app)
          << "Nov 21 09:15:42 srv app: line " << i << " of many\n";
      written = i + 1;
    }
  });
  for (int kill = 0; kill < kKills; ++kill) {
    EXPECT_TRUE(e2e::Eventually(std::chrono::seconds(60), [&] {
      return written >= (kill * kLinesAKill) + (kLinesAKill / 3);
    }));
    suite.KillHard();
    suite.Start();
    ++kills;
  }
  writer.join();
  // Whose they are does not matter: nobody's, so they are in quarantine.
  const std::string all = std::to_string(kLines) + " events\n";
  std::string counted;
  EXPECT_TRUE(e2e::Eventually(std::chrono::seconds(60), [&] {
    counted = suite.Run({"event", "count", "--tenant", "quarantine"});
    return counted == all;
  })) << counted;
  const std::string distinct =
      suite.Run({"event", "count", "--tenant", "quarantine", "--filter", "\"line 0 of many\""});
  EXPECT_EQ(distinct, "1 events\n");
  std::filesystem::remove_all(logs);
}

TEST(Suite, EndsCleanlyWhereItsTerminalIsClosed) {
  e2e::SuiteProcess suite;
  ASSERT_EQ(kill(suite.pid(), SIGHUP), 0);
  ASSERT_TRUE(e2e::Eventually(kSoon, [&] { return !suite.Runs(); }));
  suite.Stop();  // with 0
  EXPECT_FALSE(std::filesystem::exists(EndpointsFile(suite.data_dir())));
}

TEST(Suite, PrintsEverySettingWithoutStarting) {
  const auto folder = testing::MakeTemporaryFolder();
  const auto run = [&](const std::string& more) {
    const std::string command =
        fmt::format("'{}' up --print-settings {} 2>&1", e2e::SuiteProcess::Program(), more);
    std::string text;
    FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096];
    for (size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
    return std::pair(pclose(pipe), text);
  };
  const auto [code, text] = run("");
  ASSERT_EQ(code, 0) << text;
  for (const char* section : {"grpc", "store", "directory", "archive", "detection", "notification",
                              "ticketing", "config", "reporting", "ingestion"}) {
    EXPECT_THAT(text, HasSubstr(fmt::format("\n{}:", section)));
  }
  EXPECT_THAT(text, HasSubstr("tenant_calls_per_second: 500"));
  // What it prints it takes.
  std::ofstream(folder / "all.yaml") << text;
  EXPECT_EQ(run("--settings " + (folder / "all.yaml").string()), std::pair(0, text));
  std::ofstream(folder / "own.yaml") << "grpc: {tenant_calls_per_second: 7}\n";
  EXPECT_EQ(run("--settings " + (folder / "own.yaml").string()), std::pair(0, text));
  std::ofstream(folder / "bad.yaml") << "grcp: {}\n";
  EXPECT_THAT(run("--settings " + (folder / "bad.yaml").string()).second, HasSubstr("grcp"));
  std::filesystem::remove_all(folder);
}

TEST(Suite, LeavesErrorsToTheProgramItself) {
  const e2e::SuiteProcess suite;
  const std::string told = suite.Run({"--endpoint", "dns:///[", "whoami"}, 3);
  EXPECT_THAT(told, AllOf(StartsWith("yagura: "), Not(HasSubstr("\nE"))));
  const std::string bad_name = suite.Run({"ticket", "get", "\xff", "--tenant", "acme"}, 2);
  EXPECT_THAT(bad_name, AllOf(HasSubstr("not UTF-8"), Not(HasSubstr("libprotobuf"))));
}

}  // namespace
}  // namespace yagura::cli
