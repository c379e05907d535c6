#include "common/rpc/run_service.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

#include "common/rpc/platform.h"
#include "common/status/status.h"
#include "common/testing/eventually.h"
#include "common/text/text.h"
#include "tests/unit/common/rpc/test_server.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::rpc {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ExitedWithCode;

// An EchoApp that asks its process to stop as soon as it has started.
absl::StatusOr<MakeApp> ReadEchoSettings(config::SettingsReader& reader) {
  const auto greeting = reader.String("greeting", "hello", "What to say first.");
  if (greeting == "noise") return InvalidField("greeting", "must be words");
  reader.String("farewell", "bye", "What to say last.");
  return MakeApp([greeting](const Platform& platform) -> absl::StatusOr<std::unique_ptr<App>> {
    if (greeting == "silence") return InvalidField("greeting", "says nothing");
    struct Brief final : App {
      explicit Brief(std::filesystem::path f)
          : inner(std::make_shared<EchoProbe>()), file(std::move(f)) {}
      std::string_view name() const override { return "echo"; }
      void Register(ServiceRegistry& registry) override { inner.Register(registry); }
      absl::Status Start() override {
        kill(getpid(), SIGTERM);
        return absl::OkStatus();
      }
      void Stop() override { std::ofstream(file) << "stopped"; }
      EchoApp inner;
      std::filesystem::path file;
    };
    return std::make_unique<Brief>(platform.data_dir / "stopped");
  });
}

class RunServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    // A death test starts the program anew: the folder's name is handed on in the environment.
    const char* made = getenv("YAGURA_RUN_SERVICE_TEST");
    folder = made != nullptr ? std::filesystem::path(made)
                             : std::filesystem::temp_directory_path() /
                                   ("yagura-run-" + std::to_string(getpid()));
    setenv("YAGURA_RUN_SERVICE_TEST", folder.c_str(), 1);
    std::filesystem::create_directories(folder);
  }
  void TearDown() override {
    std::filesystem::remove_all(folder);
    unsetenv("YAGURA_RUN_SERVICE_TEST");
  }

  std::string Settings(const std::string& yaml) {
    const auto file = folder / "settings.yaml";
    std::ofstream(file) << yaml;
    return file.string();
  }
  int Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "yagura-echo");
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    return RunService(static_cast<int>(argv.size()), argv.data(), "echo", ReadEchoSettings);
  }

  std::filesystem::path folder;
};

// A directory that says which keys it has.
struct KeyDirectory final : directory::v1::DirectoryService::Service {
  KeyDirectory() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server = builder.BuildAndStart();
  }
  ~KeyDirectory() override { server->Shutdown(); }
  grpc::Status GetSigningKeys(grpc::ServerContext* /*context*/,
                              const directory::v1::GetSigningKeysRequest* /*request*/,
                              directory::v1::GetSigningKeysResponse* response) override {
    const std::lock_guard lock(mutex);
    ++asked;
    for (const std::string& key : keys) response->add_keys()->set_public_key(key);
    return grpc::Status::OK;
  }
  int Asked() {
    const std::lock_guard lock(mutex);
    return asked;
  }
  void Announce(const auth::SigningKey& key) {
    const std::lock_guard lock(mutex);
    keys.push_back(key.public_key());
  }

  std::mutex mutex;
  std::vector<std::string> keys;
  int asked = 0;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

TEST_F(RunServiceTest, AKeyThatIsNotKnownIsFetchedAtOnceAndNotTooOften) {
  KeyDirectory directory;
  const auth::TokenIssuer old(auth::SigningKey::Generate(), "yagura", SystemClock());
  const auth::TokenIssuer next(auth::SigningKey::Generate(), "yagura", SystemClock());
  directory.Announce(old.key());
  PlatformSettings settings;
  settings.data_dir = folder / "data";
  settings.state_address = "unix:/nonexistent/a";
  settings.flow_address = "unix:/nonexistent/b";
  settings.metrics_address.clear();
  auto host = PlatformHost::Make(settings, Logger::Null());
  ASSERT_TRUE(host.ok()) << host.status();
  (*host)->SetAddress("directory", "dns:///127.0.0.1:" + std::to_string(directory.port));
  EXPECT_FALSE((*host)->FetchSigningKeys()) << "nobody follows the keys";
  (*host)->FollowSigningKeys();
  const auto& verifier = *(*host)->shared().verifier;
  const auto good = [&](const auth::TokenIssuer& issuer) {
    return verifier.Verify(issuer.Issue({"tenants/acme/users/a", {}, "", {}}, minutes(1))).ok();
  };
  ASSERT_TRUE(testing::Eventually([&] { return good(old); }));
  directory.Announce(next.key());
  EXPECT_FALSE(good(next));

  const auto before = std::chrono::steady_clock::now();
  EXPECT_TRUE((*host)->FetchSigningKeys());
  EXPECT_TRUE(good(next)) << "long before the minute is over";
  EXPECT_TRUE(good(old));
  const int asked = directory.Asked();
  for (int i = 0; i < 1000; ++i) {
    if (std::chrono::steady_clock::now() - before < seconds(1)) (*host)->FetchSigningKeys();
  }
  EXPECT_EQ(directory.Asked(), asked);
  EXPECT_TRUE(testing::Eventually([&] { return (*host)->FetchSigningKeys(); }));
}

TEST_F(RunServiceTest, PrintsEverySettingWithItsDefault) {
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(Run({"--print-settings"}), 0);
  const std::string printed = ::testing::internal::GetCapturedStdout();
  for (const char* part : {"state_redis:", "grpc:", "address: \"127.0.0.1:7070\"",
                           "# What to say first.", "greeting: \"hello\""}) {
    EXPECT_THAT(printed, ::testing::HasSubstr(part));
  }
  EXPECT_EQ(Run({"--settings", Settings(printed), "--print-settings"}), 0);
}

TEST_F(RunServiceTest, WrongSettingsEndItBeforeAnythingStarts) {
  EXPECT_EQ(Run({"--settings", Settings("grcp:\n  address: x\n"), "--log-level", "error"}), 2);
  EXPECT_EQ(Run({"--no-such-option"}), 2);
}

TEST_F(RunServiceTest, SettingsThatTheServiceRefusesEndItWithTwoAndTheReason) {
  const std::string settings = Settings("echo:\n  greeting: noise\n  farewell: none\n");
  EXPECT_EXIT(exit(Run({"--settings", settings, "--data-dir", (folder / "data").string()})),
              ExitedWithCode(2), "echo: greeting: must be words");
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
}

TEST_F(RunServiceTest, ServesUntilSigtermThenStopsTheAppAndEndsWithZero) {
  const std::string settings = Settings(
      "metrics_address: 127.0.0.1:0\ngrpc:\n  address: 127.0.0.1:0\n"
      "state_redis:\n  address: unix:/nonexistent/a\nflow_redis:\n  address: "
      "unix:/nonexistent/b\n");
  EXPECT_EXIT(exit(Run({"--settings", settings, "--data-dir", (folder / "data").string(),
                        "--log-level", "error"})),
              ExitedWithCode(0), "");
  EXPECT_TRUE(std::filesystem::exists(folder / "data" / "stopped"));
}

TEST_F(RunServiceTest, AnAppThatCannotBeMadeEndsItWithThree) {
  const std::string settings = Settings(
      "metrics_address: \"\"\necho:\n  greeting: silence\n"
      "state_redis:\n  address: unix:/nonexistent/a\n");
  EXPECT_EXIT(exit(Run({"--settings", settings, "--data-dir", (folder / "data").string()})),
              ExitedWithCode(3), "greeting: says nothing");
}

TEST_F(RunServiceTest, AHostGivesEveryAppItsOwnNameAndOneAddressBook) {
  PlatformSettings settings;
  settings.data_dir = folder / "data";
  settings.state_address = "unix:/nonexistent/a";
  settings.flow_address = "unix:/nonexistent/b";
  auto host = PlatformHost::Make(settings, Logger::Null());
  ASSERT_TRUE(host.ok()) << host.status();
  TestServer server;
  server.platform.verifier = (*host)->shared().verifier;
  ASSERT_TRUE(server.Start().ok());
  const Platform one = (*host)->ForService("one");
  (*host)->SetAddress("*", "dns:///127.0.0.1:" + std::to_string(server.server->port()));
  const Platform two = (*host)->ForService("two");
  for (const auto& [platform, name] :
       {std::pair(one, "services/one"), std::pair(two, "services/two")}) {
    grpc::ClientContext context;
    platform.channels->PrepareAs(context, "acme", std::chrono::seconds(5));
    testing::v1::EchoResponse response;
    const auto status = testing::v1::EchoService::NewStub(platform.channels->Get("echo"))
                            ->GetEcho(&context, Request("tenants/acme/echoes/e"), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.principal(), name);
  }
}

TEST_F(RunServiceTest, ATrustedKeyFileIsReadStrictly) {
  const auto key = auth::SigningKey::Generate();
  PlatformSettings settings;
  settings.data_dir = folder / "data";
  settings.state_address = "unix:/nonexistent/a";
  settings.trusted_key = folder / "key";
  std::ofstream(settings.trusted_key) << HexEncode(key.public_key()) << "\n";
  auto host = PlatformHost::Make(settings, Logger::Null());
  ASSERT_TRUE(host.ok()) << host.status();
  const auth::TokenIssuer issuer(key, "yagura", SystemClock());
  EXPECT_TRUE(
      (*host)
          ->shared()
          .verifier
          ->Verify(issuer.Issue({"tenants/a/users/u", {}, "", {}}, std::chrono::seconds(60)))
          .ok());
  std::ofstream(settings.trusted_key) << "not a key";
  EXPECT_EQ(ErrorReason(PlatformHost::Make(settings, Logger::Null()).status()),
            "KEY_FILE_MALFORMED");
}

}  // namespace
}  // namespace yagura::rpc
