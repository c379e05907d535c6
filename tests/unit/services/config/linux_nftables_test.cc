#include "services/config/drivers/linux_nftables.h"

#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/testing/status_matchers.h"
#include "services/config/drivers/linux_nftables_scripts.h"

namespace yagura::config {
namespace {

using testing::IsOk;
using testing::StatusIs;

TEST(LinuxNftables, TakesCompleteCandidatesOnly) {
  const auto driver = NewLinuxNftablesDriver();
  EXPECT_THAT(driver->CheckCandidate("table inet f {\n}\n"), IsOk());
  EXPECT_THAT(driver->CheckCandidate("# include \"x\"\ntable inet f { comment \"include\"; }\n"),
              IsOk());
  for (const std::string& bad :
       {std::string(""), std::string(" \n"), std::string("include \"/etc/shadow\"\n"),
        std::string("table inet f { include \"x\"\n}\n"),
        std::string("flush ruleset; include \"x\""), std::string("a\0b", 3), std::string("\xff")}) {
    EXPECT_THAT(driver->CheckCandidate(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

// The scripts are put between single quotes: one of theirs would end the quotation.
TEST(LinuxNftables, ScriptsHaveNoSingleQuotes) {
  for (const std::string_view script :
       {nft::kFetch, nft::kVersion, nft::kPrepare, nft::kArmAndLoad, nft::kInspect, nft::kConfirm,
        nft::kAbandon, nft::kRestore, nft::kPersist, nft::kForget}) {
    EXPECT_EQ(script.find('\''), std::string_view::npos) << script;
  }
}

// Would be a device; anything sent to it fails the test.
class UnusedSession final : public DeviceSession {
 public:
  StatusOr<ExecResult> Exec(const ExecRequest& request, const Patience&) override {
    ADD_FAILURE() << "sent: " << request.command;
    return ExecResult{};
  }
  const std::string& host_key_fingerprint() const override { return fingerprint_; }

 private:
  std::string fingerprint_;
};

TEST(LinuxNftables, SendsNoWordThatAShellMightRead) {
  const auto driver = NewLinuxNftablesDriver();
  UnusedSession session;
  for (const char* id : {"", "a b", "x;reboot", "$(reboot)", "`reboot`", "'", "a\nb"}) {
    EXPECT_FALSE(driver->Inspect(session, id, {}).ok()) << id;
  }
  for (const char* path : {"", "etc", "/etc/../x", "/a b", "/a;b", "/a'b", "/etc/"}) {
    EXPECT_THAT(driver->Persist(session, path, "x", {}),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << path;
  }
}

TEST(DriverSet, NamesThePlatformsThatThereAre) {
  std::vector<std::unique_ptr<Driver>> drivers;
  drivers.push_back(NewLinuxNftablesDriver());
  const DriverSet set(std::move(drivers));
  EXPECT_THAT(set.Find("linux.nftables"), IsOk());
  EXPECT_THAT(set.Find("toaster"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::config
