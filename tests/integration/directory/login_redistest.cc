#include <thread>

#include "common/clock/proto_time.h"
#include "common/rpc/revocations.h"
#include "common/status/retry_delay.h"
#include "common/store/store.h"
#include "tests/integration/directory/fixture.h"
#include "yagura/directory/internal/v1/secret.pb.h"

namespace yagura::directory {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

auto LoginFailed() { return StatusIs(StatusCode::kUnauthenticated, "LOGIN_FAILED"); }
auto Throttled() { return StatusIs(StatusCode::kResourceExhausted, "LOGIN_THROTTLED"); }

TEST_F(DirectoryTest, APasswordGivesATokenForFifteenMinutes) {
  AddTenant("acme");
  AddUser("provider", "alice", "analyst", {"acme", "quarantine"});
  const auto before = SystemClock()->Now();
  const auto token = Login("provider", "alice", kPassword);
  ASSERT_THAT(token, IsOk());
  EXPECT_EQ(token->principal(), "tenants/provider/users/alice");
  const auto lifetime = FromProto(token->expire_time()) - before;
  EXPECT_GT(lifetime, std::chrono::minutes(14));
  EXPECT_LE(lifetime, std::chrono::minutes(15) + std::chrono::seconds(5));
  const auto me = CallAs(token->token(), &Stub::WhoAmI, v1::WhoAmIRequest());
  ASSERT_THAT(me, IsOk());
  EXPECT_EQ(me->principal(), "tenants/provider/users/alice");
  ASSERT_EQ(me->roles_size(), 1);
  EXPECT_EQ(me->roles(0).role(), "analyst");
  EXPECT_THAT(me->roles(0).tenants(), ::testing::ElementsAre("acme", "quarantine"));
}

TEST_F(DirectoryTest, CustomersToo) {
  AddTenant("acme");
  const std::string token = AddUser("acme", "sato", "customer-viewer");
  const auto me = CallAs(token, &Stub::WhoAmI, v1::WhoAmIRequest());
  ASSERT_THAT(me, IsOk());
  EXPECT_THAT(me->roles(0).tenants(), ::testing::ElementsAre("acme"));
}

TEST_F(DirectoryTest, EveryRefusalLooksAlike) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  AddUser("acme", "gone", "customer-viewer");
  v1::DisableUserRequest disable;
  disable.set_name("tenants/acme/users/gone");
  disable.set_reason("left the company");
  ASSERT_THAT(Call(&Stub::DisableUser, disable), IsOk());
  std::set<std::string> answers;
  for (const auto& [tenant, user, password] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"acme", "sato", "wrong password"},
           {"acme", "nobody", kPassword},
           {"acme", "gone", kPassword},
           {"nowhere", "sato", kPassword},
           {"-", "sato", kPassword},
           {"acme", "../users/sato", kPassword},
           {"acme", "sato2", std::string(100'000, 'x')}}) {
    const auto refused = Login(tenant, user, password);
    EXPECT_THAT(refused, LoginFailed()) << user;
    answers.insert(refused.status().ToString());
  }
  EXPECT_EQ(answers.size(), 1u);
  v1::EnableUserRequest enable;
  enable.set_name("tenants/acme/users/gone");
  ASSERT_THAT(Call(&Stub::EnableUser, enable), IsOk());
  EXPECT_THAT(Login("acme", "gone", kPassword), IsOk());
}

TEST_F(DirectoryTest, GuessingIsThrottledAndANewPasswordLiftsIt) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Login("acme", "sato", "a wrong guess"), LoginFailed());
  EXPECT_THAT(Login("acme", "sato", kPassword), Throttled()) << "even with the right one";
  ASSERT_THAT(SetPassword("acme", "sato", "a new and better one"), IsOk());
  EXPECT_THAT(Login("acme", "sato", "a new and better one"), IsOk());
  EXPECT_THAT(Login("acme", "sato", kPassword), LoginFailed());
}

TEST_F(DirectoryTest, WhatCannotBeCheckedIsNeitherAWrongPasswordNorABadKey) {
  StopServer();
  settings_.unknown_keys_per_second = 0.5;
  StartServer();
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  ASSERT_THAT(SetPassword("acme", "sato", kPassword), IsOk());
  const auto created = AddRelayKey("acme");
  ASSERT_THAT(created, IsOk());
  // What Redis keeps of both cannot be read for a while.
  std::vector<std::string> secrets;
  const auto keys = state_->Command({"KEYS", "y:{acme}:directory:*"});
  ASSERT_THAT(keys, IsOk());
  for (const auto& key : keys->items) {
    const bool is_secret = key.text.ends_with(":sato") || key.text.ends_with(":relay");
    const auto type = state_->Command({"TYPE", key.text});
    if (is_secret && type->text == "string") secrets.push_back(key.text);
  }
  ASSERT_THAT(secrets, Not(IsEmpty()));
  for (const auto& key : secrets) {
    ASSERT_THAT(state_->Command({"RENAME", key, key + "-aside"}), IsOk());
    ASSERT_THAT(state_->Command({"LPUSH", key, "no string"}), IsOk());
  }
  v1::ExchangeApiKeyRequest exchange;
  exchange.set_secret(created->secret());
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(Login("acme", "sato", kPassword), Not(LoginFailed()));
    EXPECT_THAT(Login("acme", "sato", kPassword), Not(Throttled()));
    const auto shown = CallAs("", &Stub::ExchangeApiKey, exchange);
    EXPECT_FALSE(shown.ok());
    EXPECT_THAT(shown, Not(StatusIs(StatusCode::kResourceExhausted, "KEYS_THROTTLED"))) << i;
  }
  for (const auto& key : secrets) {
    ASSERT_THAT(state_->Command({"DEL", key}), IsOk());
    ASSERT_THAT(state_->Command({"RENAME", key + "-aside", key}), IsOk());
  }
  EXPECT_THAT(Login("acme", "sato", kPassword), IsOk());
  EXPECT_THAT(CallAs("", &Stub::ExchangeApiKey, exchange), IsOk());
}

TEST_F(DirectoryTest, WrongKeysOfOthersBehindTheSameAddressKeepNoRightOneOut) {
  AddTenant("acme");
  const auto exchange = [this](const std::string& secret) {
    v1::ExchangeApiKeyRequest request;
    request.set_secret(secret);
    return CallAs("", &Stub::ExchangeApiKey, request).status();
  };
  absl::Status refused;
  for (int i = 0; i < 1000 && ErrorReason(refused) != "LOGIN_THROTTLED"; ++i) {
    refused = exchange(i % 2 == 0 ? "nonsense" : "ygr_acme_relay_" + std::string(64, 'a'));
    EXPECT_FALSE(refused.ok());
  }
  EXPECT_THAT(refused, Throttled());
  EXPECT_THAT(exchange(AdminSecret()), IsOk());
  EXPECT_THAT(exchange("nonsense"), Throttled()) << "who is right forgives nobody else";
}

TEST_F(DirectoryTest, ASuspendedTenantsUsersAndKeysStayOut) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  v1::UpdateTenantRequest update;
  update.mutable_tenant()->set_name("tenants/acme");
  update.mutable_tenant()->set_state(v1::TENANT_SUSPENDED);
  ASSERT_THAT(Call(&Stub::UpdateTenant, update), IsOk());
  EXPECT_THAT(Login("acme", "sato", kPassword), LoginFailed());
}

TEST_F(DirectoryTest, AnApiKeyIsShownOnceAndWorksUntilItEnds) {
  AddTenant("acme");
  v1::CreateApiKeyRequest create;
  create.set_parent("tenants/acme");
  create.set_api_key_id("push");
  create.set_request_id("r1");
  create.mutable_api_key()->add_roles()->set_role("engineer");
  const auto created = Call(&Stub::CreateApiKey, create);
  ASSERT_THAT(created, IsOk());
  const std::string secret = created->secret();
  ASSERT_FALSE(secret.empty());
  const auto again = Call(&Stub::CreateApiKey, create);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->api_key().name(), created->api_key().name());
  EXPECT_THAT(again->secret(), IsEmpty());
  const std::string token = Exchange(secret);
  const auto me = CallAs(token, &Stub::WhoAmI, v1::WhoAmIRequest());
  ASSERT_THAT(me, IsOk());
  EXPECT_EQ(me->principal(), "tenants/acme/apiKeys/push");

  const auto refused = [this](const std::string& text) {
    v1::ExchangeApiKeyRequest request;
    request.set_secret(text);
    EXPECT_THAT(CallAs("", &Stub::ExchangeApiKey, request), LoginFailed()) << text;
  };
  refused("");
  refused("nonsense");
  refused(secret.substr(0, secret.size() - 1) + (secret.back() == '0' ? "1" : "0"));
  refused(std::string(100'000, 'x'));

  v1::UpdateApiKeyRequest update;
  update.mutable_api_key()->set_name("tenants/acme/apiKeys/push");
  *update.mutable_api_key()->mutable_expire_time() =
      ToProto(SystemClock()->Now() - std::chrono::seconds(1));
  ASSERT_THAT(Call(&Stub::UpdateApiKey, update), IsOk());
  refused(secret);
  update.mutable_api_key()->clear_expire_time();
  update.mutable_update_mask()->add_paths("expire_time");
  ASSERT_THAT(Call(&Stub::UpdateApiKey, update), IsOk());
  EXPECT_FALSE(Exchange(secret).empty());
  v1::DeleteApiKeyRequest remove;
  remove.set_name("tenants/acme/apiKeys/push");
  ASSERT_THAT(Call(&Stub::DeleteApiKey, remove), IsOk());
  refused(secret);
}

TEST_F(DirectoryTest, AKeyNamesSitesOfItsOwnTenantAlone) {
  AddTenant("acme");
  v1::CreateApiKeyRequest create;
  create.set_parent("tenants/acme");
  create.mutable_api_key()->add_roles()->set_role("collector");
  for (const char* bad : {"tenants/other/sites/hq", "hq", "tenants/-/sites/hq"}) {
    create.set_api_key_id("bad");
    create.mutable_api_key()->clear_relay_sites();
    create.mutable_api_key()->add_relay_sites(bad);
    EXPECT_THAT(Call(&Stub::CreateApiKey, create), StatusIs(StatusCode::kInvalidArgument)) << bad;
  }
  create.set_api_key_id("relay");
  create.mutable_api_key()->set_relay_sites(0, "tenants/acme/sites/hq");
  const auto created = Call(&Stub::CreateApiKey, create);
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->api_key().relay_sites(0), "tenants/acme/sites/hq");
  v1::ListApiKeysRequest list;
  list.set_parent("tenants/-");
  list.set_filter("relay_sites:*");
  const auto listed = Call(&Stub::ListApiKeys, list);
  ASSERT_THAT(listed, IsOk());
  ASSERT_EQ(listed->api_keys_size(), 1) << "ingestion asks for relays alone";
  EXPECT_EQ(listed->api_keys(0).name(), "tenants/acme/apiKeys/relay");
}

TEST_F(DirectoryTest, SecretsAreKeptAsHashesAlone) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  const std::string admin_secret = AdminSecret();
  const auto keys = state_->Command({"KEYS", "*"});
  ASSERT_THAT(keys, IsOk());
  for (const auto& key : keys->items) {
    const auto dump = state_->Command({"DUMP", key.text});
    ASSERT_THAT(dump, IsOk());
    EXPECT_THAT(dump->text, Not(HasSubstr(kPassword))) << key.text;
    EXPECT_THAT(dump->text, Not(HasSubstr(admin_secret.substr(admin_secret.size() - 64))));
  }
  StopServer();
  std::ifstream log(data_dir_ / "log");
  const std::string text((std::istreambuf_iterator<char>(log)), {});
  EXPECT_THAT(text, Not(HasSubstr(kPassword)));
  EXPECT_THAT(text, Not(HasSubstr(admin_secret)));
}

TEST_F(DirectoryTest, AUserMadeAnewHasNoPassword) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  v1::DeleteUserRequest remove;
  remove.set_name("tenants/acme/users/sato");
  ASSERT_THAT(Call(&Stub::DeleteUser, remove), IsOk());
  v1::CreateUserRequest create;
  create.set_parent("tenants/acme");
  create.set_user_id("sato");
  create.mutable_user()->set_email("other@example.test");
  ASSERT_THAT(Call(&Stub::CreateUser, create), IsOk());
  EXPECT_THAT(Login("acme", "sato", kPassword), LoginFailed());
}

auto Revoked() { return StatusIs(StatusCode::kUnauthenticated, "TOKEN_REVOKED"); }

TEST_F(DirectoryTest, TheTokensOfADeletedADisabledAndAResetUserEndAtOnce) {
  AddTenant("acme");
  for (const char* how : {"reset", "disabled", "deleted"}) {
    const std::string name = fmt::format("tenants/acme/users/{}", how);
    const std::string token = AddUser("acme", how, "customer-viewer");
    ASSERT_THAT(CallAs(token, &Stub::WhoAmI, v1::WhoAmIRequest()), IsOk());
    if (std::string_view(how) == "reset") {
      ASSERT_THAT(SetPassword("acme", how, "a new and better one"), IsOk());
      const auto again = Login("acme", how, "a new and better one");
      ASSERT_THAT(again, IsOk());
      EXPECT_THAT(CallAs(again->token(), &Stub::WhoAmI, v1::WhoAmIRequest()), IsOk());
    } else if (std::string_view(how) == "disabled") {
      v1::DisableUserRequest disable;
      disable.set_name(name);
      ASSERT_THAT(Call(&Stub::DisableUser, disable), IsOk());
    } else {
      v1::DeleteUserRequest remove;
      remove.set_name(name);
      ASSERT_THAT(Call(&Stub::DeleteUser, remove), IsOk());
    }
    EXPECT_THAT(CallAs(token, &Stub::WhoAmI, v1::WhoAmIRequest()), Revoked()) << how;
  }
}

// Processes apart from the directory learn of it from Redis, also those that start later.
TEST_F(DirectoryTest, RevokedTokensAreToldToOtherProcesses) {
  AddTenant("acme");
  const std::string token = AddUser("acme", "sato", "customer-viewer");
  const auto keys = CallAs("", &Stub::GetSigningKeys, v1::GetSigningKeysRequest());
  ASSERT_THAT(keys, IsOk());
  const auto elsewhere = std::make_shared<auth::TokenVerifier>(SystemClock());
  elsewhere->Trust("yagura", keys->keys(0).public_key());
  const rpc::RevocationFollower follower(state_, elsewhere, Logger::Null(),
                                         std::chrono::milliseconds(20));
  ASSERT_THAT(SetPassword("acme", "sato", "a new and better one"), IsOk());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (elsewhere->Verify(token).ok() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_THAT(elsewhere->Verify(token), Revoked());
  const auto again = Login("acme", "sato", "a new and better one");
  ASSERT_THAT(again, IsOk());
  EXPECT_THAT(elsewhere->Verify(again->token()), IsOk());
}

// A user is deleted and made anew while somebody sets the password of the first: what is left of it
// must not let anybody in as the second.
TEST_F(DirectoryTest, APasswordThatADeletedUserLeftIsNoBodysAfterwards) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  const store::Kind kind{.area = "directory",
                         .kind = "password",
                         .pattern = "tenants/{tenant}/users/{user}",
                         .indexes = {},
                         .index_version = 1,
                         .silent = false,
                         .search = {},
                         .addresses = {}};
  store::Store<internal::v1::PasswordHash> passwords(state_, kind, SystemClock());
  auto left = passwords.Get("tenants/acme/users/sato");
  ASSERT_THAT(left, IsOk());
  v1::DeleteUserRequest remove;
  remove.set_name("tenants/acme/users/sato");
  ASSERT_THAT(Call(&Stub::DeleteUser, remove), IsOk());
  store::WriteContext context;
  context.principal = "tenants/provider/users/late";
  context.method = "/late";
  left->clear_etag();
  ASSERT_THAT(passwords.Create(context, *left), IsOk());
  v1::CreateUserRequest create;
  create.set_parent("tenants/acme");
  create.set_user_id("sato");
  create.mutable_user()->set_email("other@example.test");
  ASSERT_THAT(Call(&Stub::CreateUser, create), IsOk());
  EXPECT_THAT(Login("acme", "sato", kPassword), LoginFailed());
  ASSERT_THAT(SetPassword("acme", "sato", kPassword), IsOk());
  EXPECT_THAT(Login("acme", "sato", kPassword), IsOk());
}

TEST_F(DirectoryTest, BadKeysKeepNeitherGoodKeysOutNorPeople) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  ASSERT_THAT(SetPassword("acme", "sato", kPassword), IsOk());
  const auto created = AddRelayKey("acme");
  ASSERT_THAT(created, IsOk());
  v1::ExchangeApiKeyRequest bad;
  bad.set_secret("ygr_acme_relay_" + std::string(64, 'a'));
  StatusCode last = StatusCode::kOk;
  for (int i = 0; i <= settings_.throttle.per_address; ++i) {
    last = CallAs("", &Stub::ExchangeApiKey, bad).status().code();
  }
  EXPECT_EQ(last, StatusCode::kResourceExhausted);
  EXPECT_FALSE(Exchange(created->secret()).empty());
  EXPECT_THAT(Login("acme", "sato", kPassword), IsOk());
}

// Behind them Redis would read three times each.
TEST_F(DirectoryTest, WrongKeysBeyondTheBoundOfTheirAddressAreNotLookedUp) {
  StopServer();
  settings_.unknown_keys_per_second = 0.1;
  StartServer();
  const auto exchange = [this](const std::string& secret) {
    v1::ExchangeApiKeyRequest request;
    request.set_secret(secret);
    return CallAs("", &Stub::ExchangeApiKey, request).status();
  };
  EXPECT_THAT(exchange(AdminSecret()), IsOk());
  const auto commands = [this] {
    const auto info = state_->Command({"INFO", "stats"});
    const std::string text = info.ok() ? info->text : "";
    const std::string_view name = "total_commands_processed:";
    const size_t at = text.find(name);
    return at == text.npos ? 0L : std::stol(text.substr(at + name.size()));
  };
  const long before = commands();
  absl::Status last;
  for (int i = 0; i < 300; ++i) {
    last = exchange(fmt::format("ygr_acme_key{}_{}", i, std::string(64, 'a')));
    EXPECT_FALSE(last.ok());
  }
  EXPECT_THAT(last, StatusIs(StatusCode::kResourceExhausted, "KEYS_THROTTLED"));
  EXPECT_TRUE(RetryDelayOf(last).has_value());
  EXPECT_LT(commands() - before, 300);
  EXPECT_THAT(exchange(AdminSecret()), IsOk()) << "it was good before";
}

// All who send over HTTP or OTLP come through ingestion's one address.
TEST_F(DirectoryTest, WhomAServiceAsksForIsCountedByAnAddressOfItsOwn) {
  StopServer();
  settings_.unknown_keys_per_second = 0.1;
  StartServer();
  const auto exchange = [this](const std::string& token, const std::string& secret,
                               const std::string& peer) {
    v1::ExchangeApiKeyRequest request;
    request.set_secret(secret);
    request.set_client_peer(peer);
    return CallAs(token, &Stub::ExchangeApiKey, request).status();
  };
  const std::string ingestion = ServiceToken("ingestion");
  const std::string bad = "ygr_acme_relay_" + std::string(64, 'a');
  absl::Status last;
  for (int i = 0; i < 20; ++i) last = exchange(ingestion, bad, "ipv4:192.0.2.1:50000");
  EXPECT_THAT(last, StatusIs(StatusCode::kResourceExhausted, "KEYS_THROTTLED"));
  EXPECT_THAT(exchange(ingestion, bad, "ipv4:198.51.100.1:50000"), LoginFailed())
      << "another sender";
  EXPECT_THAT(exchange(ingestion, AdminSecret(), "ipv4:198.51.100.2:50000"), IsOk())
      << "a right key that nobody knows yet";
  for (int i = 0; i < 20; ++i) {
    last = exchange("", bad, fmt::format("ipv4:203.0.113.{}:50000", i));
  }
  EXPECT_THAT(last, StatusIs(StatusCode::kResourceExhausted, "KEYS_THROTTLED"))
      << "who is no service cannot choose the address";
  last = exchange(admin_, bad, "ipv4:203.0.113.99:50000");
  EXPECT_THAT(last, StatusIs(StatusCode::kResourceExhausted, "KEYS_THROTTLED"))
      << "nor can an administrator";
}

TEST_F(DirectoryTest, TooManyGuessesAreForgivenByAnAdministrator) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  const std::string engineer = AddUser("provider", "ishii", "engineer", {"acme"});
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Login("acme", "sato", "a wrong guess"), LoginFailed());
  ASSERT_THAT(Login("acme", "sato", kPassword), Throttled());
  v1::UnblockUserRequest unblock;
  unblock.set_name("tenants/acme/users/sato");
  unblock.set_reason("called us");
  EXPECT_THAT(CallAs(engineer, &Stub::UnblockUser, unblock),
              StatusIs(StatusCode::kPermissionDenied));
  ASSERT_THAT(Call(&Stub::UnblockUser, unblock), IsOk());
  EXPECT_THAT(Login("acme", "sato", kPassword), IsOk());
  const auto records = store::ReadRecords(*state_, "acme", 0, 1000);
  ASSERT_THAT(records, IsOk());
  EXPECT_TRUE(std::ranges::any_of(*records, [](const auto& record) {
    return record.action() == audit::v1::UPDATED && record.detail() == "called us" &&
           record.resource() == "tenants/acme/users/sato" &&
           record.principal() != record.resource();
  }));
  unblock.set_name("tenants/acme/users/nobody");
  EXPECT_THAT(Call(&Stub::UnblockUser, unblock), StatusIs(StatusCode::kNotFound));
}

TEST_F(DirectoryTest, ARepeatOfAnUnblockingForgivesNothingThatCameSince) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  const auto guess = [this] {
    for (int i = 0; i < 3; ++i) EXPECT_THAT(Login("acme", "sato", "a wrong guess"), LoginFailed());
  };
  guess();
  v1::UnblockUserRequest unblock;
  unblock.set_name("tenants/acme/users/sato");
  unblock.set_reason("called us");
  unblock.set_request_id("7c0f1d0e-3f0b-4a53-9d3e-3e5f8a1c2b11");
  ASSERT_THAT(Call(&Stub::UnblockUser, unblock), IsOk());
  guess();
  ASSERT_THAT(Call(&Stub::UnblockUser, unblock), IsOk());
  EXPECT_THAT(Login("acme", "sato", kPassword), Throttled());
  const auto records = store::ReadRecords(*state_, "acme", 0, 1000);
  ASSERT_THAT(records, IsOk());
  EXPECT_EQ(
      std::ranges::count_if(*records, [](const auto& r) { return r.detail() == "called us"; }), 1);
  unblock.set_reason("another reason");
  EXPECT_THAT(Call(&Stub::UnblockUser, unblock),
              StatusIs(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  unblock.set_request_id("");
  ASSERT_THAT(Call(&Stub::UnblockUser, unblock), IsOk());
  EXPECT_THAT(Login("acme", "sato", kPassword), IsOk());
  unblock.set_reason(std::string(2001, 'x'));
  EXPECT_THAT(Call(&Stub::UnblockUser, unblock), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(DirectoryTest, AKeyIsRotatedAndItsOldSecretIsGoodForAWhile) {
  AddTenant("acme");
  const auto created = AddRelayKey("acme");
  ASSERT_THAT(created, IsOk());
  const auto exchange = [this](const std::string& secret) {
    v1::ExchangeApiKeyRequest request;
    request.set_secret(secret);
    return CallAs("", &Stub::ExchangeApiKey, request);
  };
  v1::RotateApiKeyRequest rotate;
  rotate.set_name("tenants/acme/apiKeys/relay");
  rotate.set_request_id("r1");
  rotate.mutable_grace_period()->set_seconds(300);
  const auto rotated = Call(&Stub::RotateApiKey, rotate);
  ASSERT_THAT(rotated, IsOk());
  EXPECT_NE(rotated->secret(), created->secret());
  EXPECT_THAT(exchange(rotated->secret()), IsOk());
  const auto old = exchange(created->secret());
  ASSERT_THAT(old, IsOk());
  EXPECT_LE(FromProto(old->expire_time()),
            FromProto(rotated->previous_expire_time()) + std::chrono::seconds(1))
      << "its token ends with it";

  const auto repeated = Call(&Stub::RotateApiKey, rotate);
  ASSERT_THAT(repeated, IsOk());
  EXPECT_EQ(repeated->secret(), "") << "a repeat changes nothing";
  EXPECT_THAT(exchange(rotated->secret()), IsOk());

  rotate.set_request_id("r2");
  rotate.mutable_grace_period()->set_seconds(0);
  const auto at_once = Call(&Stub::RotateApiKey, rotate);
  ASSERT_THAT(at_once, IsOk());
  EXPECT_FALSE(at_once->has_previous_expire_time());
  EXPECT_THAT(exchange(at_once->secret()), IsOk());
  for (const auto& secret : {created->secret(), rotated->secret()}) {
    EXPECT_THAT(exchange(secret), LoginFailed());
  }
  EXPECT_THAT(CallAs(old->token(), &Stub::WhoAmI, v1::WhoAmIRequest()), Revoked());
  rotate.mutable_grace_period()->set_seconds(31LL * 24 * 3600);
  rotate.set_request_id("r3");
  EXPECT_THAT(Call(&Stub::RotateApiKey, rotate), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(DirectoryTest, ALateRepeatOfACreationLeavesTheNextKeyAlone) {
  AddTenant("acme");
  v1::CreateApiKeyRequest create;
  create.set_parent("tenants/acme");
  create.set_api_key_id("relay");
  create.mutable_api_key()->add_roles()->set_role("collector");
  create.set_request_id("r1");
  ASSERT_THAT(Call(&Stub::CreateApiKey, create), IsOk());
  v1::DeleteApiKeyRequest remove;
  remove.set_name("tenants/acme/apiKeys/relay");
  ASSERT_THAT(Call(&Stub::DeleteApiKey, remove), IsOk());
  const auto gone = Call(&Stub::CreateApiKey, create);
  ASSERT_THAT(gone, IsOk());
  EXPECT_EQ(gone->secret(), "") << "the key is not there any more";
  create.set_request_id("r2");
  const auto second = Call(&Stub::CreateApiKey, create);
  ASSERT_THAT(second, IsOk());
  create.set_request_id("r1");
  const auto late = Call(&Stub::CreateApiKey, create);
  ASSERT_THAT(late, IsOk());
  EXPECT_EQ(late->secret(), "");
  EXPECT_FALSE(Exchange(second->secret()).empty());
}

TEST_F(DirectoryTest, ARotationKeepsNoSecretOfAKeyThatIsGone) {
  const std::string hash = "y:{acme}:directory:apikeyhash:relay";
  AddTenant("acme");
  v1::CreateApiKeyRequest create;
  create.set_parent("tenants/acme");
  create.set_api_key_id("relay");
  create.mutable_api_key()->add_roles()->set_role("collector");
  const auto first = Call(&Stub::CreateApiKey, create);
  ASSERT_THAT(first, IsOk());
  const auto left = state_->Command({"GET", hash});
  ASSERT_THAT(left, IsOk());
  ASSERT_FALSE(left->text.empty());
  v1::DeleteApiKeyRequest remove;
  remove.set_name("tenants/acme/apiKeys/relay");
  ASSERT_THAT(Call(&Stub::DeleteApiKey, remove), IsOk());
  ASSERT_THAT(Call(&Stub::CreateApiKey, create), IsOk());
  ASSERT_THAT(state_->Command({"SET", hash, left->text}).status(), IsOk());
  v1::RotateApiKeyRequest rotate;
  rotate.set_name(remove.name());
  rotate.mutable_grace_period()->set_seconds(300);
  const auto rotated = Call(&Stub::RotateApiKey, rotate);
  ASSERT_THAT(rotated, IsOk());
  EXPECT_FALSE(rotated->has_previous_expire_time());
  EXPECT_FALSE(Exchange(rotated->secret()).empty());
  v1::ExchangeApiKeyRequest exchange;
  exchange.set_secret(first->secret());
  EXPECT_THAT(CallAs("", &Stub::ExchangeApiKey, exchange), LoginFailed());
}

TEST_F(DirectoryTest, ALateRepeatOfADeletionTakesNoPasswordAway) {
  AddTenant("acme");
  const std::string name = "tenants/acme/users/sato";
  const auto create = [this] {
    v1::CreateUserRequest request;
    request.set_parent("tenants/acme");
    request.set_user_id("sato");
    request.mutable_user()->set_email("sato@example.test");
    ASSERT_THAT(Call(&Stub::CreateUser, request), IsOk());
  };
  const auto remove = [&](const char* request_id) {
    v1::DeleteUserRequest request;
    request.set_name(name);
    request.set_request_id(request_id);
    return Call(&Stub::DeleteUser, request).status();
  };
  create();
  ASSERT_THAT(remove("r3"), IsOk());
  create();
  ASSERT_THAT(SetPassword("acme", "sato", kPassword), IsOk());
  EXPECT_THAT(remove("r3"), IsOk()) << "the first answer";
  EXPECT_THAT(Login("acme", "sato", kPassword), IsOk());
}

// Tokens end before the change: one that is cut off in the middle leaves none behind.
TEST_F(DirectoryTest, AChangeThatIsCutOffHasEndedTheTokens) {
  AddTenant("acme");
  const std::string token = AddUser("acme", "sato", "customer-viewer");
  v1::CreateApiKeyRequest create;
  create.set_parent("tenants/acme");
  create.set_api_key_id("relay");
  create.mutable_api_key()->add_roles()->set_role("collector");
  const auto key = Call(&Stub::CreateApiKey, create);
  ASSERT_THAT(key, IsOk());
  // Where the marker of a kind's indexes is no text, no resource of that kind can be written.
  const auto block = [this](const std::string& kind) {
    const std::string marker = fmt::format("y:{{acme}}:directory:{}#version", kind);
    ASSERT_THAT(state_->Command({"DEL", marker}).status(), IsOk());
    ASSERT_THAT(state_->Command({"LPUSH", marker, "x"}).status(), IsOk());
  };
  block("user");
  v1::DisableUserRequest disable;
  disable.set_name("tenants/acme/users/sato");
  ASSERT_FALSE(Call(&Stub::DisableUser, disable).ok());
  EXPECT_THAT(CallAs(token, &Stub::WhoAmI, v1::WhoAmIRequest()), Revoked());

  std::string key_token = Exchange(key->secret());
  block("apikeyhash");
  v1::RotateApiKeyRequest rotate;
  rotate.set_name(key->api_key().name());
  rotate.mutable_grace_period()->set_seconds(0);
  ASSERT_FALSE(Call(&Stub::RotateApiKey, rotate).ok());
  EXPECT_THAT(CallAs(key_token, &Stub::WhoAmI, v1::WhoAmIRequest()), Revoked());

  key_token = Exchange(key->secret());
  block("apikey");
  v1::UpdateApiKeyRequest update;
  update.mutable_api_key()->set_name(key->api_key().name());
  update.mutable_api_key()->set_disabled(true);
  ASSERT_FALSE(Call(&Stub::UpdateApiKey, update).ok());
  EXPECT_THAT(CallAs(key_token, &Stub::WhoAmI, v1::WhoAmIRequest()), Revoked());
}

TEST_F(DirectoryTest, TheSigningKeyIsReplacedAndTheOneBeforeIsStillGood) {
  const auto file = data_dir_ / settings_.signing_key_file;
  StopServer();
  std::filesystem::rename(file, file.string() + ".previous");
  StartServer();
  EXPECT_THAT(Call(&Stub::WhoAmI, v1::WhoAmIRequest()), IsOk());
  const auto keys = CallAs("", &Stub::GetSigningKeys, v1::GetSigningKeysRequest());
  ASSERT_THAT(keys, IsOk());
  EXPECT_EQ(keys->keys_size(), 2);
  EXPECT_THAT(CallAs(Exchange(AdminSecret()), &Stub::WhoAmI, v1::WhoAmIRequest()), IsOk());
  StopServer();
  std::filesystem::remove(file.string() + ".previous");
  StartServer();
  EXPECT_THAT(Call(&Stub::WhoAmI, v1::WhoAmIRequest()), StatusIs(StatusCode::kUnauthenticated));
}

TEST_F(DirectoryTest, LogInsAreOnRecord) {
  AddTenant("acme");
  AddUser("acme", "sato", "customer-viewer");
  EXPECT_THAT(Login("acme", "sato", "a wrong guess"), LoginFailed());
  EXPECT_THAT(Login("nowhere", "x", "a wrong guess"), LoginFailed());
  const auto of = [this](std::string_view tenant) {
    std::vector<std::string> told;
    const auto records = store::ReadRecords(*state_, tenant, 0, 1000);
    EXPECT_THAT(records, IsOk());
    for (const auto& record : *records) {
      told.push_back(
          fmt::format("{} {}", audit::v1::Action_Name(record.action()), record.resource()));
    }
    return told;
  };
  EXPECT_THAT(of("acme"), Contains("LOGGED_IN tenants/acme/users/sato"));
  EXPECT_THAT(of("acme"), Contains("DENIED tenants/acme/users/sato"));
  EXPECT_THAT(of("provider"), Contains("DENIED tenants/nowhere/users/x"));
  EXPECT_THAT(of("nowhere"), IsEmpty());
}

TEST_F(DirectoryTest, AnybodyMayAskForTheKeysThatTokensAreCheckedWith) {
  const auto keys = CallAs("", &Stub::GetSigningKeys, v1::GetSigningKeysRequest());
  ASSERT_THAT(keys, IsOk());
  ASSERT_EQ(keys->keys_size(), 1);
  auth::TokenVerifier verifier(SystemClock());
  verifier.Trust(keys->issuer(), keys->keys(0).public_key());
  EXPECT_THAT(verifier.Verify(admin_), IsOk());
}

}  // namespace
}  // namespace yagura::directory
