#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/data_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

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

std::string Samples() {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  return std::string(source != nullptr ? source : ".") + "/content/samples/fortigate.log";
}

TEST(Suite, PlaysTheDemoAsOftenAsItIsAsked) {
  const e2e::SuiteProcess suite;
  for (int run = 1; run <= 2; ++run) {
    EXPECT_THAT(suite.Run({"demo", "--samples", Samples()}),
                AllOf(HasSubstr("Played 440 lines"), HasSubstr("4 findings:"),
                      HasSubstr("4 alerts, 3 messages delivered, 4 tickets")))
        << "run " << run;
  }
}

TEST(Suite, ThatRunsIsUsedByUpAndStoppedByDownAsOftenAsAsked) {
  e2e::SuiteProcess suite;
  EXPECT_THAT(suite.Run({"up", "--detach"}),
              AllOf(StartsWith("Yagura is up already"), HasSubstr(suite.Endpoint("grpc"))));
  EXPECT_THAT(suite.Run({"up"}, 1), HasSubstr("ALREADY_RUNNING"));
  EXPECT_EQ(suite.Run({"down"}), "Yagura is down.\n");
  EXPECT_THAT(suite.Run({"down"}), StartsWith("No suite runs in "));
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

TEST(Suite, EndsCleanlyWhereItsTerminalIsClosed) {
  e2e::SuiteProcess suite;
  ASSERT_EQ(kill(suite.pid(), SIGHUP), 0);
  ASSERT_TRUE(e2e::Eventually(kSoon, [&] { return !suite.Runs(); }));
  suite.Stop();  // with 0
  EXPECT_FALSE(std::filesystem::exists(EndpointsFile(suite.data_dir())));
}

TEST(Suite, LeavesErrorsToTheProgramItself) {
  const e2e::SuiteProcess suite;
  const std::string told = suite.Run({"--endpoint", "dns:///[", "whoami"}, 3);
  EXPECT_THAT(told, AllOf(StartsWith("yagura: "), Not(HasSubstr("\nE"))));
  const std::string bad_name = suite.Run({"ticket", "get", "\xff", "--tenant", "acme"}, 1);
  EXPECT_THAT(bad_name, Not(HasSubstr("libprotobuf")));
}

}  // namespace
}  // namespace yagura::cli
