#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/testing/nft_device.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "tests/integration/config/service_world.h"
#include "yagura/audit/v1/audit.pb.h"

namespace yagura::config {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Property;
using ::testing::StartsWith;
using yagura::testing::IsOk;
using yagura::testing::NftDevice;
using yagura::testing::StatusIs;

constexpr std::string_view kRules =
    "table inet filter {\n"
    "\tchain input {\n"
    "\t\ttype filter hook input priority filter; policy accept;\n"
    "\t\ttcp dport 22 accept comment \"password: swordfish\"\n"
    "\t\ttcp dport 8080 accept\n"
    "\t}\n"
    "}\n";
constexpr std::string_view kDropAll =
    "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy "
    "drop;\n\t}\n}\n";

const std::string kParent = "tenants/acme";
const std::string kFirewall = "tenants/acme/devices/fw1";

class ConfigService : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = NftDevice::WhyUnavailable(); !why.empty()) GTEST_SKIP() << why;
    redis_ = std::make_unique<testing::RedisServer>();
    folder_ = testing::MakeTemporaryFolder();
    device_ = std::make_unique<NftDevice>();
    device_->Load(kRules);
    world_ = std::make_unique<ServiceWorld>(redis_->endpoint(), folder_);
    ASSERT_THAT(store::RegisterTenant(*world_->state, "acme"), IsOk());
    AddDevice();
  }
  void TearDown() override {
    world_.reset();
    fs::remove_all(folder_);
  }

  void AddDevice() {
    v1::CreateCredentialRequest credential;
    credential.set_parent(kParent);
    credential.set_credential_id("root");
    credential.mutable_credential()->set_user_name("root");
    credential.mutable_secret()->set_private_key(device_->private_key());
    ASSERT_THAT(world_->credentials->Create(CallAs("alice"), credential), IsOk());
    v1::CreateDeviceRequest device;
    device.set_parent(kParent);
    device.set_device_id("fw1");
    device.mutable_device()->set_platform("linux.nftables");
    device.mutable_device()->set_address(device_->address());
    device.mutable_device()->set_trust_host_key_on_first_use(true);
    device.mutable_device()->set_credential("tenants/acme/credentials/root");
    ASSERT_THAT(world_->devices->Create(CallAs("alice"), device), IsOk());
  }

  StatusOr<v1::Snapshot> Snapshot() {
    v1::TakeSnapshotRequest request;
    request.set_parent(kFirewall);
    return world_->snapshots->Take(CallAs("alice"), request);
  }

  v1::CreateChangeRequest Draft(const std::string& configuration) {
    v1::CreateChangeRequest request;
    request.set_parent(kParent);
    request.mutable_change()->set_title("Open 8443");
    request.mutable_change()->set_reason("asked for");
    request.mutable_change()->set_device(kFirewall);
    request.mutable_change()->mutable_dead_man_timeout()->set_seconds(30);
    request.mutable_candidate()->set_configuration(configuration);
    return request;
  }

  // Written by alice, approved by bob.
  StatusOr<v1::Change> Approved(const v1::CreateChangeRequest& request) {
    YAGURA_ASSIGN_OR_RETURN(const v1::Change change,
                            world_->changes->Create(CallAs("alice"), request));
    v1::SubmitChangeRequest submit;
    submit.set_name(change.name());
    YAGURA_RETURN_IF_ERROR(world_->changes->Submit(CallAs("alice"), submit).status());
    v1::ApproveChangeRequest approve;
    approve.set_name(change.name());
    approve.set_digest(change.digest());
    return world_->changes->Approve(CallAs("bob"), approve);
  }

  StatusOr<v1::Change> Apply(const std::string& name) {
    v1::ApplyChangeRequest request;
    request.set_name(name);
    return world_->changes->Apply(CallAs("alice"), request);
  }

  // Everything that Redis and the data folder hold, as bytes.
  std::string EverythingKept() const {
    world_->state->Command({"SAVE"}).status().IgnoreError();
    std::ostringstream out;
    const auto keys = world_->state->Command({"KEYS", "*"});
    for (const auto& key : keys->items) {
      const auto value = world_->state->Command({"GET", key.text});
      if (value.ok()) out << value->text;
      const auto entries = world_->state->Command({"XRANGE", key.text, "-", "+"});
      if (!entries.ok()) continue;
      for (const auto& entry : entries->items) {
        for (const auto& field : entry.items[1].items) out << field.text;
      }
    }
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) out << std::ifstream(entry.path()).rdbuf();
    }
    return out.str();
  }

  std::unique_ptr<testing::RedisServer> redis_;
  fs::path folder_;
  std::unique_ptr<NftDevice> device_;
  std::unique_ptr<ServiceWorld> world_;
};

TEST_F(ConfigService, ADiffShowsWhatDiffersAndNotHowItIsWritten) {
  ASSERT_THAT(Snapshot(), IsOk());
  const auto written = [](const std::string& port) {
    return "flush ruleset\n# ours\ntable inet filter {\n  chain input {\n"
           "    type filter hook input priority 0;\n"
           "    tcp dport 22 accept comment \"password: swordfish\";\n    tcp dport   " +
           port + " accept\n  }\n}\n";
  };
  ASSERT_OK_AND_ASSIGN(const v1::Change change,
                       world_->changes->Create(CallAs("alice"), Draft(written("8443"))));
  EXPECT_THAT(change.diff(), HasSubstr("-\t\ttcp dport 8080 accept\n+\t\ttcp dport 8443 accept\n"));
  EXPECT_EQ(std::count(change.diff().begin(), change.diff().end(), '+'), 5) << change.diff();
  EXPECT_THAT(change.diff(), Not(HasSubstr("swordfish")));
  ASSERT_OK_AND_ASSIGN(const v1::Change same,
                       world_->changes->Create(CallAs("alice"), Draft(written("8080"))));
  EXPECT_THAT(same.diff(), HasSubstr("formatting and comments alone"));
}

TEST_F(ConfigService, LeadsAChangeFromDraftToVerified) {
  world_->worker->Start();
  ASSERT_OK_AND_ASSIGN(const v1::Snapshot base, Snapshot());
  // The host key was pinned, and the text has no secret.
  ASSERT_OK_AND_ASSIGN(const v1::Device device, world_->stores->devices.Get(kFirewall));
  EXPECT_EQ(device.host_key_fingerprints(0), device_->host_key_fingerprint());
  EXPECT_EQ(device.latest_snapshot(), base.name());
  EXPECT_THAT(base.text(), Not(HasSubstr("swordfish")));
  EXPECT_EQ(base.scrubbed_secrets(), 1);

  // The candidate is made from the shown text: the mark stands for the secret.
  std::string candidate = base.text();
  const std::string old = "tcp dport 8080 accept";
  candidate.replace(candidate.find(old), old.size(), "tcp dport { 8080, 8443 } accept");
  v1::CreateChangeRequest draft = Draft(candidate);
  draft.mutable_change()->add_checks()->set_running_contains("tcp dport { 8080, 8443 } accept");
  ASSERT_OK_AND_ASSIGN(v1::Change change, world_->changes->Create(CallAs("alice"), draft));
  EXPECT_THAT(change.diff(),
              HasSubstr("-\t\ttcp dport 8080 accept\n+\t\ttcp dport { 8080, 8443 }"));
  EXPECT_THAT(change.diff(), Not(HasSubstr("swordfish")));

  v1::SubmitChangeRequest submit;
  submit.set_name(change.name());
  ASSERT_THAT(world_->changes->Submit(CallAs("alice"), submit), IsOk());
  EXPECT_THAT(Apply(change.name()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "CHANGE_STATE"));
  v1::ApproveChangeRequest approve;
  approve.set_name(change.name());
  approve.set_digest(change.digest());
  EXPECT_THAT(world_->changes->Approve(CallAs("alice"), approve),
              StatusIs(absl::StatusCode::kPermissionDenied, "SELF_APPROVAL"));
  ASSERT_THAT(world_->changes->Approve(CallAs("bob"), approve), IsOk());
  ASSERT_OK_AND_ASSIGN(change, Apply(change.name()));
  EXPECT_EQ(change.state(), v1::APPLYING);

  change = world_->AwaitEnd(change.name());
  EXPECT_EQ(change.state(), v1::VERIFIED) << change.DebugString();
  EXPECT_EQ(change.approver(), "tenants/acme/users/bob");
  EXPECT_THAT(device_->Ruleset(), HasSubstr("8443"));
  EXPECT_THAT(device_->Ruleset(), HasSubstr("password: swordfish"));
  v1::RevealSnapshotRequest reveal;
  reveal.set_name(change.apply().final_snapshot());
  reveal.set_reason("rebuild");
  ASSERT_OK_AND_ASSIGN(const auto full, world_->snapshots->Reveal(CallAs("alice"), reveal));
  EXPECT_EQ(full.text(), device_->Ruleset());
  ASSERT_TRUE(Eventually(
      [&] { return world_->stores->devices.Get(kFirewall)->applying_change().empty(); }));
}

TEST_F(ConfigService, KeepsSecretsSealedAndRevealsThemOnRecordOnly) {
  ASSERT_OK_AND_ASSIGN(const v1::Snapshot snapshot, Snapshot());
  ASSERT_THAT(
      world_->changes->Create(CallAs("alice"), Draft("table inet x {\n}\n# token abc12345\n")),
      IsOk());
  const std::string kept = EverythingKept();
  EXPECT_THAT(kept, HasSubstr(kFirewall));  // it does see what is kept
  EXPECT_THAT(kept, Not(HasSubstr("swordfish")));
  EXPECT_THAT(kept, Not(HasSubstr("abc12345")));
  EXPECT_THAT(kept, Not(HasSubstr("OPENSSH PRIVATE KEY")));

  v1::RevealSnapshotRequest reveal;
  reveal.set_name(snapshot.name());
  EXPECT_THAT(world_->snapshots->Reveal(CallAs("alice"), reveal),
              StatusIs(absl::StatusCode::kInvalidArgument));
  reveal.set_reason("the device burnt down");
  ASSERT_OK_AND_ASSIGN(const auto full, world_->snapshots->Reveal(CallAs("alice"), reveal));
  EXPECT_EQ(full.text(), device_->Ruleset());
  ASSERT_OK_AND_ASSIGN(const auto records, store::ReadRecords(*world_->state, "acme", 0, 1000));
  EXPECT_THAT(records, Contains(Property(&audit::v1::Record::detail,
                                         HasSubstr("revealed: the device burnt down"))));
}

TEST_F(ConfigService, RefusesToApplyOntoADeviceThatChangedAndShowsTheDifference) {
  world_->worker->Start();
  ASSERT_THAT(Snapshot(), IsOk());
  ASSERT_OK_AND_ASSIGN(v1::Change change,
                       Approved(Draft(std::string(kRules) + "table ip x {\n}\n")));
  device_->Load("add rule inet filter input tcp dport 4444 accept comment \"password: tuna\"\n");
  const std::string drifted = device_->Ruleset();
  ASSERT_THAT(Apply(change.name()), IsOk());
  change = world_->AwaitEnd(change.name());
  EXPECT_EQ(change.state(), v1::FAILED);
  EXPECT_EQ(change.apply().error_reason(), "DEVICE_CHANGED");
  EXPECT_THAT(change.apply().drift_diff(), HasSubstr("+\t\ttcp dport 4444 accept"));
  EXPECT_THAT(change.apply().drift_diff(), Not(HasSubstr("tuna")));
  EXPECT_EQ(device_->Ruleset(), drifted);
}

TEST_F(ConfigService, DoesNotApplyAtATargetThatNobodyApproved) {
  world_->worker->Start();
  ASSERT_THAT(Snapshot(), IsOk());
  const std::string before = device_->Ruleset();
  ASSERT_OK_AND_ASSIGN(const v1::Change change,
                       Approved(Draft(std::string(kRules) + "table ip x {\n}\n")));
  EXPECT_EQ(change.target().address(), device_->address());
  EXPECT_EQ(change.target().user_name(), "root");
  EXPECT_THAT(change.target().host_key_fingerprints(),
              ::testing::ElementsAre(device_->host_key_fingerprint()));

  const auto edit_device = [&](const char* path, const v1::Device& to) {
    v1::UpdateDeviceRequest request;
    *request.mutable_device() = to;
    request.mutable_device()->set_name(kFirewall);
    request.mutable_device()->clear_etag();
    request.mutable_update_mask()->add_paths(path);
    return world_->devices->Update(CallAs("mallory"), request);
  };
  ASSERT_OK_AND_ASSIGN(const v1::Device right, world_->stores->devices.Get(kFirewall));
  v1::Device wrong = right;
  wrong.set_startup_path("/etc/cron.d/x");
  wrong.set_address("127.0.0.1");
  for (const char* path : {"startup_path", "address"}) {
    ASSERT_THAT(edit_device(path, wrong), IsOk());
    const auto refused = Apply(change.name());
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "TARGET_CHANGED"));
    EXPECT_THAT(std::string(Message(refused.status())), HasSubstr(path));
    ASSERT_THAT(edit_device(path, right), IsOk());
  }
  v1::UpdateCredentialRequest user;
  user.mutable_credential()->set_name("tenants/acme/credentials/root");
  user.mutable_credential()->set_user_name("mallory");
  ASSERT_THAT(world_->credentials->Update(CallAs("mallory"), user), IsOk());
  EXPECT_THAT(Apply(change.name()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "TARGET_CHANGED"));
  EXPECT_EQ(world_->stores->changes.Get(change.name())->state(), v1::APPROVED);
  EXPECT_EQ(world_->stores->devices.Get(kFirewall)->applying_change(), "");
  EXPECT_EQ(device_->Ruleset(), before);

  // Once everything says again what was approved, it goes its way.
  user.mutable_credential()->set_user_name("root");
  ASSERT_THAT(world_->credentials->Update(CallAs("alice"), user), IsOk());
  ASSERT_THAT(Apply(change.name()), IsOk());
  EXPECT_EQ(world_->AwaitEnd(change.name()).state(), v1::VERIFIED);
}

TEST_F(ConfigService, RecordsThatTheDeviceUndidACutOff) {
  world_->worker->Start();
  ASSERT_THAT(Snapshot(), IsOk());
  v1::CreateChangeRequest cutting_off = Draft(std::string(kDropAll));
  cutting_off.mutable_change()->mutable_dead_man_timeout()->set_seconds(3);
  const std::string before = device_->Ruleset();
  ASSERT_OK_AND_ASSIGN(v1::Change change, Approved(cutting_off));
  ASSERT_OK_AND_ASSIGN(const v1::Change other,
                       Approved(Draft(std::string(kRules) + "table ip x {\n}\n")));
  ASSERT_THAT(Apply(change.name()), IsOk());
  EXPECT_THAT(Apply(other.name()), StatusIs(absl::StatusCode::kFailedPrecondition, "DEVICE_BUSY"));
  change = world_->AwaitEnd(change.name());
  EXPECT_EQ(change.state(), v1::ROLLED_BACK);
  EXPECT_EQ(change.apply().error_reason(), "CUT_OFF");
  EXPECT_THAT(change.apply().device_log(), HasSubstr("restored the saved rule set, exit 0"));
  EXPECT_EQ(device_->Ruleset(), before);
  // The device is free again: what runs is what the other change was approved for.
  ASSERT_TRUE(Eventually(
      [&] { return world_->stores->devices.Get(kFirewall)->applying_change().empty(); }));
  ASSERT_THAT(Apply(other.name()), IsOk());
  EXPECT_EQ(world_->AwaitEnd(other.name()).state(), v1::VERIFIED);
}

TEST_F(ConfigService, TakesPatchesAgainstTheShownText) {
  ASSERT_OK_AND_ASSIGN(const v1::Snapshot base, Snapshot());
  v1::CreateChangeRequest draft = Draft("");
  draft.mutable_candidate()->set_patch(
      "--- a\n+++ b\n@@ -5 +5 @@\n-\t\ttcp dport 8080 accept\n+\t\ttcp dport 9090 accept\n");
  ASSERT_OK_AND_ASSIGN(const v1::Change change, world_->changes->Create(CallAs("alice"), draft));
  ASSERT_OK_AND_ASSIGN(const std::string text, world_->vault->OpenCandidate(change));
  EXPECT_THAT(text, HasSubstr("password: swordfish"));
  EXPECT_THAT(text, HasSubstr("tcp dport 9090 accept"));
  draft.mutable_candidate()->set_patch("@@ -5 +5 @@\n-something else\n+x\n");
  EXPECT_THAT(world_->changes->Create(CallAs("alice"), draft),
              StatusIs(absl::StatusCode::kInvalidArgument));
  draft.mutable_candidate()->set_configuration("key <secret:0123456789abcdef>\n");
  EXPECT_THAT(world_->changes->Create(CallAs("alice"), draft),
              StatusIs(absl::StatusCode::kInvalidArgument));
  draft.mutable_candidate()->set_configuration(base.text());
  EXPECT_THAT(world_->changes->Create(CallAs("alice"), draft),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NO_DIFFERENCE"));
}

TEST_F(ConfigService, AnEditedDraftHasAnotherDigestAndItsEditorCannotApproveIt) {
  ASSERT_THAT(Snapshot(), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::Change change,
                       world_->changes->Create(CallAs("alice"), Draft("table ip a {\n}\n")));
  v1::UpdateChangeRequest update;
  update.mutable_change()->set_name(change.name());
  update.mutable_candidate()->set_configuration("table ip b {\n}\n");
  ASSERT_OK_AND_ASSIGN(const v1::Change edited, world_->changes->Update(CallAs("bob"), update));
  EXPECT_NE(edited.digest(), change.digest());
  EXPECT_THAT(edited.diff(), HasSubstr("table ip b"));
  v1::SubmitChangeRequest submit;
  submit.set_name(change.name());
  ASSERT_THAT(world_->changes->Submit(CallAs("alice"), submit), IsOk());
  EXPECT_THAT(world_->changes->Update(CallAs("bob"), update),
              StatusIs(absl::StatusCode::kFailedPrecondition, "CHANGE_STATE"));
  v1::ApproveChangeRequest approve;
  approve.set_name(change.name());
  approve.set_digest(change.digest());
  EXPECT_THAT(world_->changes->Approve(CallAs("carol"), approve),
              StatusIs(absl::StatusCode::kAborted, "DIGEST_MISMATCH"));
  approve.set_digest(edited.digest());
  EXPECT_THAT(world_->changes->Approve(CallAs("bob"), approve),
              StatusIs(absl::StatusCode::kPermissionDenied, "SELF_APPROVAL"));
  EXPECT_THAT(world_->changes->Approve(CallAs("carol"), approve), IsOk());
}

TEST_F(ConfigService, AStaleEtagOfAChangeIsAbortedWithTheCurrentOne) {
  ASSERT_THAT(Snapshot(), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::Change change,
                       world_->changes->Create(CallAs("alice"), Draft("table ip a {\n}\n")));
  const std::string name = change.name();
  const auto expect_stale = [&](const Status& status) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, "ETAG_MISMATCH"));
    EXPECT_EQ(GetErrorMetadata(status)["etag"], world_->stores->changes.Get(name)->etag());
  };
  const auto staled = [&](auto request) {
    request.set_name(name);
    request.set_etag("0123456789abcdef");
    return request;
  };
  v1::UpdateChangeRequest update;
  update.mutable_change()->set_name(name);
  update.mutable_change()->set_etag("0123456789abcdef");
  update.mutable_change()->set_title("other");
  update.mutable_update_mask()->add_paths("title");
  expect_stale(world_->changes->Update(CallAs("alice"), update).status());
  update.mutable_change()->set_etag(change.etag());
  for (const char* path : {"no_such_field", "device", "state", "approver", "target", "digest"}) {
    update.mutable_update_mask()->set_paths(0, path);
    EXPECT_THAT(world_->changes->Update(CallAs("alice"), update),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << path;
  }
  expect_stale(
      world_->changes->Submit(CallAs("alice"), staled(v1::SubmitChangeRequest())).status());
  v1::SubmitChangeRequest submit;
  submit.set_name(name);
  ASSERT_THAT(world_->changes->Submit(CallAs("alice"), submit), IsOk());
  v1::ApproveChangeRequest approve = staled(v1::ApproveChangeRequest());
  approve.set_digest(change.digest());
  expect_stale(world_->changes->Approve(CallAs("bob"), approve).status());
  v1::RejectChangeRequest reject = staled(v1::RejectChangeRequest());
  reject.set_comment("no");
  expect_stale(world_->changes->Reject(CallAs("bob"), reject).status());
  approve.clear_etag();
  ASSERT_THAT(world_->changes->Approve(CallAs("bob"), approve), IsOk());
  expect_stale(world_->changes->Apply(CallAs("alice"), staled(v1::ApplyChangeRequest())).status());
  EXPECT_EQ(world_->stores->devices.Get(kFirewall)->applying_change(), "");
  expect_stale(
      world_->changes->Cancel(CallAs("alice"), staled(v1::CancelChangeRequest())).status());
}

TEST_F(ConfigService, GivesRetriesTheFirstAnswer) {
  ASSERT_THAT(Snapshot(), IsOk());
  const auto draft = Draft("table ip a {\n}\n");
  ASSERT_OK_AND_ASSIGN(const v1::Change first,
                       world_->changes->Create(CallAs("alice", "r1", "d1"), draft));
  ASSERT_OK_AND_ASSIGN(const v1::Change again,
                       world_->changes->Create(CallAs("alice", "r1", "d1"), draft));
  EXPECT_EQ(again.name(), first.name());
  EXPECT_EQ(again.diff(), first.diff());
  v1::SubmitChangeRequest submit;
  submit.set_name(first.name());
  ASSERT_THAT(world_->changes->Submit(CallAs("alice", "r2", "d2"), submit), IsOk());
  ASSERT_THAT(world_->changes->Submit(CallAs("alice", "r2", "d2"), submit), IsOk());
  EXPECT_THAT(world_->changes->Submit(CallAs("alice", "r3", "d3"), submit),
              StatusIs(absl::StatusCode::kFailedPrecondition, "CHANGE_STATE"));
}

TEST_F(ConfigService, CredentialsInUseStayAndSecretsCanBeReplaced) {
  v1::DeleteCredentialRequest remove;
  remove.set_name("tenants/acme/credentials/root");
  EXPECT_THAT(world_->credentials->Delete(CallAs("alice"), remove),
              StatusIs(absl::StatusCode::kFailedPrecondition, "CREDENTIAL_IN_USE"));
  v1::UpdateCredentialRequest update;
  update.mutable_credential()->set_name(remove.name());
  update.mutable_secret()->set_password("wrong");
  ASSERT_OK_AND_ASSIGN(v1::Credential credential,
                       world_->credentials->Update(CallAs("alice"), update));
  EXPECT_EQ(credential.secret_kind(), v1::PASSWORD);
  EXPECT_EQ(credential.user_name(), "root");
  EXPECT_THAT(Snapshot(), StatusIs(absl::StatusCode::kFailedPrecondition, "LOGIN_REFUSED"));
  update.mutable_secret()->set_password(device_->password());
  ASSERT_THAT(world_->credentials->Update(CallAs("alice"), update), IsOk());
  EXPECT_THAT(Snapshot(), IsOk());
  update.mutable_secret()->set_private_key("no key");
  EXPECT_THAT(world_->credentials->Update(CallAs("alice"), update),
              StatusIs(absl::StatusCode::kInvalidArgument));
  // A second one of the same name leaves the first one's secret alone.
  v1::CreateCredentialRequest twin;
  twin.set_parent(kParent);
  twin.set_credential_id("root");
  twin.mutable_credential()->set_user_name("root");
  twin.mutable_secret()->set_password("other");
  EXPECT_THAT(world_->credentials->Create(CallAs("mallory"), twin),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Snapshot(), IsOk());
}

TEST_F(ConfigService, ALateRepeatNeverBringsAnOldSecretBack) {
  v1::UpdateCredentialRequest update;
  update.mutable_credential()->set_name("tenants/acme/credentials/root");
  update.mutable_secret()->set_password("old");
  ASSERT_THAT(world_->credentials->Update(CallAs("alice", "r1", "d1"), update), IsOk());
  update.mutable_secret()->set_password(device_->password());
  ASSERT_THAT(world_->credentials->Update(CallAs("bob", "r2", "d2"), update), IsOk());
  update.mutable_secret()->set_password("old");
  ASSERT_THAT(world_->credentials->Update(CallAs("alice", "r1", "d1"), update), IsOk());
  EXPECT_EQ(*world_->vault->OpenSecret("tenants/acme/credentials/root"), device_->password());

  // Nor does a repeated removal take the secret of a credential that was made since.
  v1::CreateCredentialRequest create;
  create.set_parent(kParent);
  create.set_credential_id("spare");
  create.mutable_credential()->set_user_name("root");
  create.mutable_secret()->set_password("first");
  v1::DeleteCredentialRequest remove;
  remove.set_name("tenants/acme/credentials/spare");
  ASSERT_THAT(world_->credentials->Create(CallAs("alice", "r3", "d3"), create), IsOk());
  ASSERT_THAT(world_->credentials->Delete(CallAs("alice", "r4", "d4"), remove), IsOk());
  create.mutable_secret()->set_password("second");
  ASSERT_THAT(world_->credentials->Create(CallAs("alice", "r5", "d5"), create), IsOk());
  ASSERT_THAT(world_->credentials->Delete(CallAs("alice", "r4", "d4"), remove), IsOk());
  EXPECT_EQ(*world_->vault->OpenSecret(remove.name()), "second");

  // Nor does what a repeat leaves of a credential that is gone become the next one's.
  update.mutable_credential()->set_name(remove.name());
  update.mutable_secret()->set_password("older");
  ASSERT_THAT(world_->credentials->Update(CallAs("alice", "r6", "d6"), update), IsOk());
  ASSERT_THAT(world_->credentials->Delete(CallAs("alice", "r7", "d7"), remove), IsOk());
  ASSERT_THAT(world_->credentials->Update(CallAs("alice", "r6", "d6"), update), IsOk());
  create.mutable_secret()->set_password("third");
  ASSERT_THAT(world_->credentials->Create(CallAs("alice", "r8", "d8"), create), IsOk());
  EXPECT_EQ(*world_->vault->OpenSecret(remove.name()), "third");
  ASSERT_THAT(world_->credentials->Update(CallAs("alice", "r6", "d6"), update), IsOk());
  EXPECT_EQ(*world_->vault->OpenSecret(remove.name()), "third");
}

TEST_F(ConfigService, ARepeatedSnapshotIsTheFirstOneWithItsText) {
  v1::TakeSnapshotRequest request;
  request.set_parent(kFirewall);
  ASSERT_OK_AND_ASSIGN(const v1::Snapshot first,
                       world_->snapshots->Take(CallAs("alice", "r1", "d1"), request));
  device_->Load("add rule inet filter input tcp dport 4444 accept\n");
  ASSERT_OK_AND_ASSIGN(const v1::Snapshot again,
                       world_->snapshots->Take(CallAs("alice", "r1", "d1"), request));
  EXPECT_EQ(again.name(), first.name());
  EXPECT_EQ(again.text(), first.text());
}

TEST_F(ConfigService, ListsSnapshotsNewestFirstAndDiffsThem) {
  ASSERT_OK_AND_ASSIGN(const v1::Snapshot first, Snapshot());
  device_->Load("add rule inet filter input tcp dport 4444 accept\n");
  ASSERT_OK_AND_ASSIGN(const v1::Snapshot second, Snapshot());
  v1::ListSnapshotsRequest list;
  for (const char* parent : {"tenants/acme/devices/fw1", "tenants/acme/devices/-"}) {
    list.set_parent(parent);
    ASSERT_OK_AND_ASSIGN(const auto page, world_->snapshots->List(CallAs("alice"), list));
    ASSERT_EQ(page.snapshots_size(), 2) << parent;
    EXPECT_EQ(page.snapshots(0).name(), second.name());
    EXPECT_EQ(page.snapshots(0).text(), "");
  }
  v1::DiffSnapshotsRequest diff;
  diff.set_base(first.name());
  diff.set_name(second.name());
  ASSERT_OK_AND_ASSIGN(const auto answer, world_->snapshots->Diff(CallAs("alice"), diff));
  EXPECT_THAT(answer.diff(), HasSubstr("+\t\ttcp dport 4444 accept"));
  EXPECT_EQ(answer.added_lines(), 1);
}

TEST_F(ConfigService, StillOpensEverythingAfterTheKeysWereRotated) {
  ASSERT_OK_AND_ASSIGN(const v1::Snapshot snapshot, Snapshot());
  ASSERT_THAT(world_->keyring->RotateKek(), IsOk());
  ASSERT_THAT(world_->keyring->PruneKeks(), IsOk());
  world_.reset();
  world_ = std::make_unique<ServiceWorld>(redis_->endpoint(), folder_);
  v1::GetSnapshotRequest get;
  get.set_name(snapshot.name());
  ASSERT_OK_AND_ASSIGN(const auto again, world_->snapshots->Get(CallAs("alice"), get));
  EXPECT_EQ(again.text(), snapshot.text());
  EXPECT_THAT(Snapshot(), IsOk());
}

// The process that the next test kills: applies changes until then.
TEST(WorkerProcess, DISABLED_AppliesChangesUntilKilled) {
  redis::Endpoint endpoint;
  endpoint.address = getenv("YAGURA_TEST_REDIS");
  ServiceWorld world(endpoint, getenv("YAGURA_TEST_DATA"));
  world.worker->Start();
  Eventually([] { return false; }, std::chrono::seconds(120));
}

TEST_F(ConfigService, AChangeOfAKilledProcessIsFinishedByTheNext) {
  ASSERT_THAT(Snapshot(), IsOk());
  setenv("YAGURA_TEST_REDIS", redis_->endpoint().address.c_str(), 1);
  setenv("YAGURA_TEST_DATA", folder_.c_str(), 1);
  std::string rules(kRules);
  for (const v1::ApplyPhase phase : {v1::COMPARING, v1::LOADING, v1::VERIFYING}) {
    rules += fmt::format("\ntable ip phase{} {{\n}}\n", int{phase});
    const v1::CreateChangeRequest draft = Draft(rules);
    ASSERT_OK_AND_ASSIGN(const v1::Change change, Approved(draft));
    {
      testing::Process process(
          {"/proc/self/exe", "--gtest_also_run_disabled_tests", "--gtest_filter=WorkerProcess.*"},
          folder_ / "worker.log");
      ASSERT_THAT(Apply(change.name()), IsOk());  // our own worker does not run
      ASSERT_TRUE(Eventually([&] {
        return world_->stores->changes.Get(change.name())->apply().phase() >= phase;
      })) << v1::ApplyPhase_Name(phase);
      process.Kill();
    }
    ServiceWorld next(redis_->endpoint(), folder_);
    next.worker->Start();
    const v1::Change ended = next.AwaitEnd(change.name());
    EXPECT_EQ(ended.state(), v1::VERIFIED) << ended.DebugString();
    EXPECT_THAT(device_->Ruleset(), HasSubstr(fmt::format("table ip phase{}", int{phase})));
    ASSERT_TRUE(Eventually(
        [&] { return world_->stores->devices.Get(kFirewall)->applying_change().empty(); }));
    rules = device_->Ruleset();
  }
}

}  // namespace
}  // namespace yagura::config
