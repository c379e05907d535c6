#include "services/config/workers/apply_run.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/testing/nft_device.h"
#include "common/testing/status_matchers.h"
#include "services/config/drivers/linux_nftables.h"
#include "services/config/transport/ssh_connector.h"

namespace yagura::config {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;
using yagura::testing::NftDevice;

// What every device of these tests runs to begin with.
constexpr std::string_view kOpenRules = R"(table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state established,related accept
		tcp dport 22 accept
		tcp dport 8080 counter accept comment "web"
	}
}
)";

// Rule sets that end every way to the device, each in its own manner.
const std::vector<std::string>& CutOffRules() {
  static const std::vector<std::string> rules = {
      // Nothing comes in.
      "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy "
      "drop;\n\t}\n}\n",
      // Nothing goes out.
      "table inet filter {\n\tchain output {\n\t\ttype filter hook output priority filter; policy "
      "drop;\n\t}\n}\n",
      // What is open stays open, but nobody new gets in.
      "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy "
      "drop;\n\t\tct state established,related accept\n\t}\n}\n",
      // SSH is refused outright.
      "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy "
      "accept;\n\t\ttcp dport 22 reject with tcp reset\n\t}\n}\n",
      // Not even neighbours are found.
      "table netdev filter {\n\tchain ingress {\n\t\ttype filter hook ingress device \"eth0\" "
      "priority filter; policy drop;\n\t}\n}\n",
  };
  return rules;
}

std::string GoodRules() {
  std::string rules(kOpenRules);
  const std::string old = "tcp dport 8080 counter accept comment \"web\"";
  return rules.replace(rules.find(old), old.size(), "tcp dport { 8080, 8443 } accept");
}

class ApplyRunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = NftDevice::WhyUnavailable(); !why.empty()) GTEST_SKIP() << why;
    device_ = std::make_unique<NftDevice>();
    device_->Load(kOpenRules);
  }

  static DeviceTarget TargetOf(const NftDevice& device) {
    DeviceTarget target;
    target.address = device.address();
    target.port = device.port();
    target.host_key_fingerprints = {device.host_key_fingerprint()};
    target.user_name = "root";
    target.private_key = device.private_key();
    return target;
  }

  ApplyOrder OrderFor(const NftDevice& device, std::string candidate, std::string id = "job1") {
    ApplyOrder order;
    order.target = TargetOf(device);
    order.job.id = std::move(id);
    order.job.base_text = device.Ruleset();
    order.job.candidate_text = std::move(candidate);
    order.job.dead_man = seconds(30);  // long enough on a busy machine
    return order;
  }

  ApplyReport Apply(
      ApplyOrder order, ApplyRun::OnPhase on_phase = [](v1::ApplyPhase, double) { return true; },
      std::stop_token stop = {}) {
    ApplyRun run(*connector_, *driver_, std::move(order), Limits(), std::move(on_phase),
                 std::move(stop));
    ApplyReport report = run.Run();
    if (report.state != v1::APPLYING) run.Forget();
    return report;
  }

  static ApplyLimits Limits() {
    return {.connect = milliseconds(2500),
            .command = seconds(5),
            .prepare = seconds(20),
            .recovery = seconds(60),
            .retry = milliseconds(100)};
  }

  StatusOr<std::unique_ptr<DeviceSession>> Connect(const DeviceTarget& target) {
    return connector_->Connect(target, {std::chrono::steady_clock::now() + seconds(10), {}});
  }

  std::unique_ptr<NftDevice> device_;
  std::unique_ptr<DeviceConnector> connector_ = NewSshConnector();
  std::unique_ptr<Driver> driver_ = NewLinuxNftablesDriver();
};

TEST_F(ApplyRunTest, AGoodChangeIsLoadedCheckedConfirmedAndKept) {
  ApplyOrder order = OrderFor(*device_, GoodRules());
  order.job.dead_man = seconds(12);
  order.startup_path = "/run/nftables.conf";
  order.checks.resize(5);
  order.checks[0].set_running_contains("tcp dport { 8080, 8443 } accept");
  order.checks[1].set_running_lacks("tcp dport 9999 accept");
  order.checks[2].mutable_tcp_open()->set_address(device_->address());
  order.checks[2].mutable_tcp_open()->set_port(22);
  order.checks[3].mutable_tcp_closed()->set_address(device_->address());
  order.checks[3].mutable_tcp_closed()->set_port(9);
  order.checks[4].mutable_command()->set_command("nft list chains");
  order.checks[4].mutable_command()->set_output_contains("chain input");

  const ApplyReport report = Apply(order);

  EXPECT_EQ(report.state, v1::VERIFIED) << report.reason << ": " << report.message;
  EXPECT_EQ(report.check_results.size(), 8u);
  EXPECT_EQ(report.running_text, device_->Ruleset());
  EXPECT_THAT(device_->Ruleset(), HasSubstr("8443"));
  EXPECT_EQ(device_->Console({"cat", "/run/nftables.conf"}),
            "#!/usr/sbin/nft -f\nflush ruleset\n" + GoodRules());
  EXPECT_EQ(device_->Console({"find", "/run/yagura", "-mindepth", "1"}), "");
  // Also when the timer would have ended: it was stopped for good.
  device_->Console({"sleep", "11"});
  EXPECT_THAT(device_->Ruleset(), HasSubstr("8443"));
}

// A rule set as people write it.
constexpr std::string_view kWritten = R"(#!/usr/sbin/nft -f
flush ruleset
# who
table inet filter {
  chain forward {
    type filter hook forward priority -150
    iifname { eth1, "eth0" } oifname != eth2 accept
    iifname "eth*" oif lo drop; ct state invalid drop
    tcp dport vmap { 443 : drop, 22 : jump web }
    log prefix "x y" flags tcp sequence,options
    meta priority set 1:2
    tcp dport 2 jump { ip saddr 10.0.0.1 accept; drop; }
    fib saddr . iif oif missing drop
    limit rate 10/second accept
  }
  chain web { }
  chain input {
    comment "in"; type filter hook input priority 0; policy drop;

    iif lo accept;   # ourselves
    ct state established, related accept
    tcp dport {443,22,
               80} accept comment "password: swordfish"; ip saddr @admins \
      tcp dport 8080 counter packets 12 bytes 900 accept
  }
  set admins {
    flags interval; type ipv4_addr;
    elements={ 192.0.2.7, 10.0.0.0/24, 10.0.9.0/24, 10.0.10.0/24, 10.1.9.0/24, 10.1.10.0/24 }
  }
  map m { elements = { 443 : jump web, 22 : accept }; type inet_service : verdict; comment "mm"; }
  counter hits { comment "h"; }
  chain output { type filter hook output priority filter + 0; }
  set dyn { type ipv4_addr; size 100; flags timeout,dynamic; timeout 1m; }
}
table t { chain n { type nat hook postrouting priority srcnat; oif lo masquerade; }; }
)";

TEST_F(ApplyRunTest, WhatTheDeviceListsOfACandidateIsTheCandidateInItsNormalForm) {
  for (const std::string& candidate :
       {std::string(kWritten), GoodRules(), std::string(kOpenRules), CutOffRules()[4]}) {
    device_->Load(NftLoadFile(candidate));
    const auto listed = driver_->Normal(device_->Ruleset());
    ASSERT_TRUE(listed);
    EXPECT_EQ(driver_->Normal(candidate), listed);
  }
}

TEST_F(ApplyRunTest, ADeviceThatChangedSinceApprovalIsLeftAlone) {
  ApplyOrder order = OrderFor(*device_, GoodRules());
  device_->Load("add rule inet filter input tcp dport 4444 accept\n");
  const std::string drifted = device_->Ruleset();

  const ApplyReport report = Apply(order);

  EXPECT_EQ(report.state, v1::FAILED);
  EXPECT_EQ(report.reason, "DEVICE_CHANGED");
  EXPECT_EQ(report.running_text, drifted);
  EXPECT_EQ(device_->Ruleset(), drifted);
}

TEST_F(ApplyRunTest, ACandidateWithOneBadRuleChangesNothing) {
  const std::string before = device_->Ruleset();
  for (const char* bad :
       {"table inet filter {\n chain input {\n tcp dport nonsense accept\n }\n}\n",
        "table inet other {\n chain c {\n jump missing\n }\n}\n", "garbage\n"}) {
    const ApplyReport report = Apply(OrderFor(*device_, std::string(kOpenRules) + bad));
    EXPECT_EQ(report.state, v1::FAILED);
    EXPECT_EQ(report.reason, "CANDIDATE_INVALID") << report.message;
    EXPECT_EQ(device_->Ruleset(), before);
  }
}

TEST_F(ApplyRunTest, AFailedCheckBringsTheOldRulesBack) {
  ApplyOrder order = OrderFor(*device_, GoodRules());
  order.job.dead_man = seconds(60);
  order.checks.resize(1);
  order.checks[0].set_title("telnet is open");
  order.checks[0].mutable_tcp_open()->set_address(device_->address());
  order.checks[0].mutable_tcp_open()->set_port(23);
  const std::string before = device_->Ruleset();

  const ApplyReport report = Apply(order);

  EXPECT_EQ(report.state, v1::ROLLED_BACK);
  EXPECT_EQ(report.reason, "CHECK_FAILED");
  EXPECT_THAT(report.message, HasSubstr("telnet is open"));
  EXPECT_EQ(device_->Ruleset(), before);
  EXPECT_THAT(report.device_log, HasSubstr("restored"));
}

TEST_F(ApplyRunTest, CommandsNeverReachTheShellThroughTheCandidate) {
  const std::string evil = "# '; touch /run/owned; $(touch /run/owned) `touch /run/owned`\n";
  const ApplyReport report = Apply(OrderFor(*device_, evil + GoodRules()));
  EXPECT_EQ(report.state, v1::VERIFIED) << report.message;
  EXPECT_EQ(device_->Console({"find", "/run", "-name", "owned"}), "");
}

// kill -9 of the service in every phase: the next run finishes what this one began.
TEST_F(ApplyRunTest, ARunThatDiedIsFinishedByTheNext) {
  const std::string before = device_->Ruleset();
  for (const v1::ApplyPhase death :
       {v1::COMPARING, v1::PREPARING, v1::LOADING, v1::VERIFYING, v1::CONFIRMING}) {
    device_->Load("flush ruleset\n" + before);
    ApplyOrder order = OrderFor(*device_, GoodRules(), fmt::format("died{}", int{death}));
    std::stop_source stop;
    const ApplyReport first = Apply(
        order,
        [&](v1::ApplyPhase phase, double) {
          if (phase == death) stop.request_stop();
          return true;
        },
        stop.get_token());
    ASSERT_EQ(first.state, v1::APPLYING) << v1::ApplyPhase_Name(death);
    const ApplyReport second = Apply(order);
    EXPECT_EQ(second.state, v1::VERIFIED)
        << v1::ApplyPhase_Name(death) << " " << second.reason << " " << second.message;
    EXPECT_THAT(device_->Ruleset(), HasSubstr("8443"));
  }
}

TEST_F(ApplyRunTest, ARunThatDiedAfterACutOffIsFinishedAsRolledBack) {
  const std::string before = device_->Ruleset();
  ApplyOrder order = OrderFor(*device_, CutOffRules()[0]);
  order.job.dead_man = seconds(3);
  std::stop_source stop;
  const ApplyReport first = Apply(
      order,
      [&](v1::ApplyPhase phase, double) {
        if (phase == v1::VERIFYING) stop.request_stop();
        return true;
      },
      stop.get_token());
  ASSERT_EQ(first.state, v1::APPLYING);
  order.maybe_begun = true;
  const ApplyReport second = Apply(order);
  EXPECT_EQ(second.state, v1::ROLLED_BACK) << second.reason << " " << second.message;
  EXPECT_EQ(device_->Ruleset(), before);
}

// What may have been loaded is never called "not begun" only because the device is silent.
TEST_F(ApplyRunTest, ASilentDeviceThatMayHaveLoadedEndsAsUnknown) {
  ApplyOrder order = OrderFor(*device_, GoodRules());
  order.job.dead_man = seconds(2);
  order.maybe_begun = true;
  device_->SetLink(false);
  ApplyLimits limits = Limits();
  limits.connect = milliseconds(500);
  limits.prepare = seconds(1);
  limits.recovery = seconds(1);
  const auto go_on = [](v1::ApplyPhase, double) { return true; };
  ApplyReport report = ApplyRun(*connector_, *driver_, order, limits, go_on, {}).Run();
  EXPECT_EQ(report.state, v1::FAILED);
  EXPECT_EQ(report.reason, "DEVICE_STATE_UNKNOWN");
  order.maybe_begun = false;
  report = ApplyRun(*connector_, *driver_, order, limits, go_on, {}).Run();
  EXPECT_EQ(report.reason, "UNREACHABLE");
}

TEST_F(ApplyRunTest, NothingIsLoadedThatCouldNotBeRecorded) {
  const std::string before = device_->Ruleset();
  const ApplyReport report =
      Apply(OrderFor(*device_, GoodRules()),
            [](v1::ApplyPhase phase, double) { return phase != v1::LOADING; });
  EXPECT_EQ(report.state, v1::APPLYING);
  EXPECT_EQ(device_->Ruleset(), before);
}

TEST_F(ApplyRunTest, ARestartOfTheDeviceInTheMiddleIsNoticed) {
  ApplyOrder order = OrderFor(*device_, CutOffRules()[0]);
  order.job.dead_man = seconds(300);
  const std::string before = device_->Ruleset();
  std::stop_source stop;
  ASSERT_EQ(Apply(
                order,
                [&](v1::ApplyPhase phase, double) {
                  if (phase == v1::VERIFYING) stop.request_stop();
                  return true;
                },
                stop.get_token())
                .state,
            v1::APPLYING);
  device_->Reboot();  // what a boot file would load, from the console
  device_->Load("flush ruleset\n" + before);
  // Nothing is left of the change on the device: it is done from the beginning.
  order.job.candidate_text = GoodRules();
  EXPECT_EQ(Apply(order).state, v1::VERIFIED);
}

TEST_F(ApplyRunTest, AnotherHostKeyIsRefusedBeforeAnythingIsSent) {
  ApplyOrder order = OrderFor(*device_, GoodRules());
  order.target.host_key_fingerprints = {"SHA256:" + std::string(43, 'A')};
  const ApplyReport report = Apply(order);
  EXPECT_EQ(report.state, v1::FAILED);
  EXPECT_EQ(report.reason, "HOST_KEY_MISMATCH");
}

TEST_F(ApplyRunTest, SshPinsHostKeysAndTakesPasswordsAndKeys) {
  DeviceTarget target = TargetOf(*device_);
  EXPECT_THAT(Connect(target), testing::IsOk());

  target.host_key_fingerprints.clear();
  EXPECT_THAT(Connect(target),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition, "HOST_KEY_UNKNOWN"));
  target.trust_on_first_use = true;
  ASSERT_OK_AND_ASSIGN(auto session, Connect(target));
  EXPECT_EQ(session->host_key_fingerprint(), device_->host_key_fingerprint());

  target.private_key.clear();
  target.password = device_->password();
  EXPECT_THAT(Connect(target), testing::IsOk());
  target.password = "wrong";
  const auto refused = Connect(target);
  EXPECT_THAT(refused, testing::StatusIs(absl::StatusCode::kFailedPrecondition, "LOGIN_REFUSED"));
  EXPECT_THAT(std::string(Message(refused.status())), Not(HasSubstr("wrong")));

  target.password.clear();
  target.private_key = "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n";
  EXPECT_THAT(Connect(target),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition, "CREDENTIAL_INVALID"));
}

// libssh closes its socket when the peer goes; whoever opens a file next gets the same number.
TEST_F(ApplyRunTest, ALostConnectionLeavesTheSocketsOfOthersAlone) {
  std::stop_source stop;
  const Patience patience{std::chrono::steady_clock::now() + seconds(10), stop.get_token()};
  ASSERT_OK_AND_ASSIGN(auto session, Connect(TargetOf(*device_)));
  EXPECT_THAT(session->Exec({.command = "kill -9 $PPID; sleep 60"}, patience),
              testing::StatusIs(absl::StatusCode::kUnavailable, "DEVICE_UNREACHABLE"));
  std::vector<std::array<int, 2>> others(8);
  for (auto& pair : others) ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  session.reset();
  for (const auto& pair : others) {
    EXPECT_EQ(send(pair[0], "x", 1, MSG_NOSIGNAL), 1);
    close(pair[0]);
    close(pair[1]);
  }
}

TEST_F(ApplyRunTest, SshBoundsTimeAndOutputAndStopsWhenAsked) {
  const auto soon = [](milliseconds wait) {
    return Patience{std::chrono::steady_clock::now() + wait, {}};
  };
  ASSERT_OK_AND_ASSIGN(auto session, Connect(TargetOf(*device_)));
  ASSERT_OK_AND_ASSIGN(ExecResult echoed,
                       session->Exec({.command = "cat; echo bad >&2; exit 3", .input = "through"},
                                     soon(seconds(5))));
  EXPECT_EQ(echoed.output, "through");
  EXPECT_EQ(echoed.errors, "bad\n");
  EXPECT_EQ(echoed.exit_status, 3);
  const std::string large(1 << 20, 'x');
  ASSERT_OK_AND_ASSIGN(ExecResult counted,
                       session->Exec({.command = "wc -c", .input = large}, soon(seconds(10))));
  EXPECT_EQ(counted.output, "1048576\n");
  EXPECT_THAT(session->Exec({.command = "yes", .max_output = 100'000}, soon(seconds(5))),
              testing::StatusIs(absl::StatusCode::kResourceExhausted, "DEVICE_OUTPUT_TOO_LARGE"));

  ASSERT_OK_AND_ASSIGN(session, Connect(TargetOf(*device_)));
  EXPECT_THAT(session->Exec({.command = "sleep 60"}, soon(milliseconds(300))),
              testing::StatusIs(absl::StatusCode::kDeadlineExceeded, "DEVICE_TIMEOUT"));

  ASSERT_OK_AND_ASSIGN(session, Connect(TargetOf(*device_)));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_THAT(session->Exec({.command = "sleep 60"},
                            {std::chrono::steady_clock::now() + seconds(30), stop.get_token()}),
              testing::StatusIs(absl::StatusCode::kCancelled));
}

// The promise: whatever the change does to the way in, the device undoes it, 100 times of 100.
TEST(CutOff, IsUndoneByTheDevice100TimesOf100) {
  if (const std::string why = NftDevice::WhyUnavailable(); !why.empty()) GTEST_SKIP() << why;
  constexpr int kDevices = 10;
  constexpr int kTries = 10;
  std::vector<std::unique_ptr<NftDevice>> devices;
  for (int i = 0; i < kDevices; ++i) {
    devices.push_back(std::make_unique<NftDevice>());
    devices.back()->Load(kOpenRules);
  }
  const auto connector = NewSshConnector();
  const auto driver = NewLinuxNftablesDriver();
  std::atomic<int> undone{0};
  std::mutex mutex;
  std::vector<std::string> failures;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kDevices; ++i) {
      threads.emplace_back([&, i] {
        NftDevice& device = *devices[i];
        const std::string before = device.Ruleset();
        for (int attempt = 0; attempt < kTries; ++attempt) {
          ApplyOrder order;
          order.target.address = device.address();
          order.target.port = device.port();
          order.target.host_key_fingerprints = {device.host_key_fingerprint()};
          order.target.user_name = "root";
          order.target.private_key = device.private_key();
          order.job.id = fmt::format("try{}", attempt);
          order.job.base_text = before;
          order.job.candidate_text = CutOffRules()[(i + attempt) % CutOffRules().size()];
          order.job.dead_man = seconds(3);
          ApplyRun run(*connector, *driver, order,
                       {.connect = milliseconds(2500),
                        .command = seconds(5),
                        .prepare = seconds(30),
                        .recovery = seconds(60),
                        .retry = milliseconds(100)},
                       [](v1::ApplyPhase, double) { return true; }, {});
          const ApplyReport report = run.Run();
          const std::string after = device.Ruleset();
          run.Forget();
          if (report.state == v1::ROLLED_BACK && report.reason == "CUT_OFF" &&
              report.running_text == before && after == before) {
            ++undone;
          } else {
            const std::lock_guard lock(mutex);
            failures.push_back(fmt::format("device {} try {}: {} {} {}\n{}\nruns:\n{}", i, attempt,
                                           v1::ChangeState_Name(report.state), report.reason,
                                           report.message, report.device_log, after));
          }
        }
      });
    }
  }
  for (const std::string& failure : failures) ADD_FAILURE() << failure;
  EXPECT_EQ(undone, kDevices * kTries);
}

}  // namespace
}  // namespace yagura::config
