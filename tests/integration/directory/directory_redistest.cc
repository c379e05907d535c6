#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "tests/integration/directory/fixture.h"

namespace yagura::directory {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

template <typename Response>
std::vector<std::string> Names(const Response& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.push_back(item.name());
  return names;
}

TEST_F(DirectoryTest, TheFirstStartMakesTheProviderTheQuarantineAndAWayIn) {
  const auto tenants = Call(&Stub::ListTenants, v1::ListTenantsRequest());
  ASSERT_THAT(tenants, IsOk());
  EXPECT_THAT(Names(tenants->tenants()), ElementsAre("tenants/provider", "tenants/quarantine"));
  for (const char* file : {"admin.key", "signing.key"}) {
    struct stat info {};
    ASSERT_EQ(stat((data_dir_ / file).c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
  }
  std::ifstream log(data_dir_ / "log");
  const std::string text((std::istreambuf_iterator<char>(log)), {});
  EXPECT_THAT(text, HasSubstr("admin.key"));
  EXPECT_THAT(text, Not(HasSubstr(AdminSecret())));
}

TEST_F(DirectoryTest, ALaterStartChangesNothingAndTokensStayGood) {
  const std::string secret = AdminSecret();
  v1::DeleteApiKeyRequest request;
  AddTenant("acme");
  StopServer();
  StartServer();
  EXPECT_EQ(AdminSecret(), secret);
  EXPECT_THAT(Call(&Stub::ListTenants, v1::ListTenantsRequest()), IsOk()) << "the old token";
  // A key that the operator deleted does not come back.
  request.set_name("tenants/provider/apiKeys/bootstrap-admin");
  ASSERT_THAT(Call(&Stub::DeleteApiKey, request), IsOk());
  StopServer();
  StartServer();
  v1::ExchangeApiKeyRequest exchange;
  exchange.set_secret(secret);
  EXPECT_THAT(CallAs("", &Stub::ExchangeApiKey, exchange),
              StatusIs(StatusCode::kUnauthenticated, "LOGIN_FAILED"));
}

TEST_F(DirectoryTest, ATenantIsCreatedReadChangedAndListed) {
  v1::CreateTenantRequest create;
  create.set_tenant_id("acme");
  create.mutable_tenant()->set_display_name("Acme");
  const auto created = Call(&Stub::CreateTenant, create);
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->time_zone(), "Asia/Tokyo");
  EXPECT_THAT(Call(&Stub::CreateTenant, create), StatusIs(StatusCode::kAlreadyExists));

  v1::UpdateTenantRequest update;
  update.mutable_tenant()->set_name(created->name());
  update.mutable_tenant()->set_retention_days(30);
  update.mutable_tenant()->set_display_name("not named by the mask");
  update.mutable_update_mask()->add_paths("retention_days");
  const auto updated = Call(&Stub::UpdateTenant, update);
  ASSERT_THAT(updated, IsOk());
  EXPECT_EQ(updated->retention_days(), 30);
  EXPECT_EQ(updated->display_name(), "Acme");

  update.mutable_tenant()->set_etag(created->etag());
  update.mutable_tenant()->set_retention_days(60);
  const auto stale = Call(&Stub::UpdateTenant, update);
  ASSERT_THAT(stale, StatusIs(StatusCode::kAborted, "ETAG_MISMATCH"));
  EXPECT_EQ(GetErrorMetadata(stale.status())["etag"], updated->etag());

  v1::ListTenantsRequest list;
  list.set_filter("retention_days < 100");
  list.set_order_by("display_name desc");
  const auto found = Call(&Stub::ListTenants, list);
  ASSERT_THAT(found, IsOk());
  EXPECT_THAT(Names(found->tenants()), ElementsAre("tenants/acme"));
}

TEST_F(DirectoryTest, MasksThatNameWhatCannotBeChangedAreRefused) {
  AddTenant("acme");
  for (const char* path :
       {"name", "etag", "create_time", "create_time.seconds", "nothing", "", "*"}) {
    v1::UpdateTenantRequest update;
    update.mutable_tenant()->set_name("tenants/acme");
    update.mutable_update_mask()->add_paths(path);
    EXPECT_THAT(Call(&Stub::UpdateTenant, update), StatusIs(StatusCode::kInvalidArgument)) << path;
  }
  v1::UpdateTenantRequest reserved;
  reserved.mutable_tenant()->set_name("tenants/provider");
  reserved.mutable_tenant()->set_state(v1::TENANT_SUSPENDED);
  EXPECT_THAT(Call(&Stub::UpdateTenant, reserved), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(DirectoryTest, ARepeatedRequestGetsTheFirstAnswer) {
  AddTenant("acme");
  v1::CreateAssetRequest create;
  create.set_parent("tenants/acme");
  create.mutable_asset()->set_host_name("web");
  create.set_request_id("r1");
  const auto first = Call(&Stub::CreateAsset, create);
  ASSERT_THAT(first, IsOk());
  const auto again = Call(&Stub::CreateAsset, create);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->SerializeAsString(), first->SerializeAsString());
  create.mutable_asset()->set_host_name("other");
  EXPECT_THAT(Call(&Stub::CreateAsset, create),
              StatusIs(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
}

TEST_F(DirectoryTest, AListIsFilteredOrderedAndPaged) {
  AddTenant("acme");
  for (int i = 0; i < 25; ++i) {
    ASSERT_THAT(AddAsset("acme", fmt::format("a{:02}", i), fmt::format("h{:02}", 24 - i)), IsOk());
  }
  v1::ListAssetsRequest list;
  list.set_parent("tenants/acme");
  list.set_order_by("host_name desc");
  list.set_page_size(10);
  list.set_filter("host_name < h20");
  std::vector<std::string> seen;
  do {
    const auto page = Call(&Stub::ListAssets, list);
    ASSERT_THAT(page, IsOk());
    for (const auto& asset : page->assets()) seen.push_back(asset.host_name());
    list.set_page_token(page->next_page_token());
  } while (!list.page_token().empty());
  ASSERT_THAT(seen, SizeIs(20));
  EXPECT_EQ(seen.front(), "h19");
  EXPECT_EQ(seen.back(), "h00");
  list.set_page_token("nonsense");
  EXPECT_THAT(Call(&Stub::ListAssets, list), StatusIs(StatusCode::kInvalidArgument));
  list.clear_page_token();
  list.set_filter("colour = red");
  const auto bad = Call(&Stub::ListAssets, list);
  ASSERT_THAT(bad, StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("colour"));
}

TEST_F(DirectoryTest, TwoCustomersMayHaveTheSamePrivateAddresses) {
  for (const char* tenant : {"acme", "beta"}) {
    AddTenant(tenant);
    for (const char* site : {"osaka", "tokyo"}) {
      AddSite(tenant, site);
      ASSERT_THAT(AddAsset(tenant, fmt::format("fw-{}", site), "fw", site, "10.0.0.1"), IsOk());
    }
  }
  v1::ListAssetsRequest list;
  list.set_parent("tenants/acme");
  list.set_filter("addresses.address:10.0.0.1");
  const auto own = Call(&Stub::ListAssets, list);
  ASSERT_THAT(own, IsOk());
  EXPECT_THAT(Names(own->assets()),
              ElementsAre("tenants/acme/assets/fw-osaka", "tenants/acme/assets/fw-tokyo"));
  list.set_parent("tenants/-");
  const auto all = Call(&Stub::ListAssets, list);
  ASSERT_THAT(all, IsOk());
  EXPECT_THAT(all->assets(), SizeIs(4));
  EXPECT_THAT(AddAsset("acme", "x", "x", "kobe", "10.0.0.1"),
              StatusIs(StatusCode::kInvalidArgument))
      << "no such site";
}

TEST_F(DirectoryTest, ASiteInUseStays) {
  AddTenant("acme");
  AddSite("acme", "tokyo");
  ASSERT_THAT(AddAsset("acme", "a", "h", "tokyo", "10.0.0.1"), IsOk());
  v1::DeleteSiteRequest request;
  request.set_name("tenants/acme/sites/tokyo");
  EXPECT_THAT(Call(&Stub::DeleteSite, request),
              StatusIs(StatusCode::kFailedPrecondition, "SITE_IN_USE"));
  v1::DeleteAssetRequest asset;
  asset.set_name("tenants/acme/assets/a");
  ASSERT_THAT(Call(&Stub::DeleteAsset, asset), IsOk());
  EXPECT_THAT(Call(&Stub::DeleteSite, request), IsOk());
  EXPECT_THAT(Call(&Stub::DeleteSite, request), StatusIs(StatusCode::kNotFound));
}

TEST_F(DirectoryTest, ASourceMapsASender) {
  AddTenant("acme");
  AddSite("acme", "tokyo");
  v1::CreateSourceRequest request;
  request.set_parent("tenants/acme");
  request.set_source_id("fw-a");
  request.mutable_source()->set_site("tokyo");
  request.mutable_source()->set_parser("fortigate");
  request.mutable_source()->mutable_match()->set_cidr("192.0.2.7");
  request.mutable_source()->mutable_match()->set_virtual_context("root");
  const auto source = Call(&Stub::CreateSource, request);
  ASSERT_THAT(source, IsOk());
  EXPECT_EQ(source->match().cidr(), "192.0.2.7/32");
  request.set_source_id("b");
  request.mutable_source()->mutable_match()->Clear();
  EXPECT_THAT(Call(&Stub::CreateSource, request), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(DirectoryTest, NothingIsMadeForATenantThatDoesNotExist) {
  v1::CreateSourceRequest request;
  request.set_parent("tenants/acme");
  request.set_source_id("fw");
  request.mutable_source()->mutable_match()->set_cidr("192.0.2.7");
  EXPECT_THAT(Call(&Stub::CreateSource, request), StatusIs(StatusCode::kNotFound));
  AddTenant("beta");
  const std::string engineer = AddUser("beta", "mallory", "engineer");
  EXPECT_THAT(CallAs(engineer, &Stub::CreateSource, request),
              StatusIs(StatusCode::kPermissionDenied))
      << "others are told the same whether or not it exists";
  AddTenant("acme");
  EXPECT_THAT(Call(&Stub::CreateSource, request), IsOk());
}

TEST_F(DirectoryTest, OneCustomerCannotTakeTheLinesOfAnother) {
  AddTenant("acme");
  AddTenant("beta");
  v1::CreateSourceRequest request;
  request.set_parent("tenants/acme");
  request.set_source_id("fw");
  request.mutable_source()->mutable_match()->set_device_serial("FGT60FTK00000001");
  ASSERT_THAT(Call(&Stub::CreateSource, request), IsOk());

  const std::string engineer = AddUser("beta", "mallory", "engineer");
  request.set_parent("tenants/beta");
  EXPECT_THAT(CallAs(engineer, &Stub::CreateSource, request),
              StatusIs(StatusCode::kPermissionDenied));
  request.mutable_source()->mutable_match()->set_virtual_context("root");
  EXPECT_THAT(CallAs(engineer, &Stub::CreateSource, request),
              StatusIs(StatusCode::kPermissionDenied));
  request.mutable_source()->mutable_match()->set_credential("tenants/acme/apiKeys/relay");
  EXPECT_THAT(CallAs(engineer, &Stub::CreateSource, request),
              StatusIs(StatusCode::kInvalidArgument));

  // What its own key pushes is its own to map.
  request.mutable_source()->mutable_match()->set_credential("tenants/beta/apiKeys/relay");
  EXPECT_THAT(CallAs(engineer, &Stub::CreateSource, request), IsOk());
}

TEST_F(DirectoryTest, WhatStaffClaimedForACustomerStaysClaimed) {
  AddTenant("acme");
  v1::CreateSourceRequest request;
  request.set_parent("tenants/acme");
  request.set_source_id("fw");
  request.mutable_source()->mutable_match()->set_device_serial("FGT60FTK00000001");
  ASSERT_THAT(Call(&Stub::CreateSource, request), IsOk());

  const std::string engineer = AddUser("acme", "tanaka", "engineer");
  const auto change = [&](const std::string& path) {
    v1::UpdateSourceRequest update;
    update.mutable_source()->set_name("tenants/acme/sources/fw");
    update.mutable_source()->set_time_zone("Asia/Tokyo");
    update.mutable_source()->set_disabled(true);
    update.mutable_source()->mutable_match()->set_credential("tenants/acme/apiKeys/relay");
    update.mutable_update_mask()->add_paths(path);
    return CallAs(engineer, &Stub::UpdateSource, update);
  };
  const auto not_theirs = StatusIs(StatusCode::kPermissionDenied, "CLAIM_OF_SHARED_LINES");
  EXPECT_THAT(change("time_zone"), IsOk());
  EXPECT_THAT(change("disabled"), not_theirs);
  EXPECT_THAT(change("match"), not_theirs);
  v1::DeleteSourceRequest remove;
  remove.set_name("tenants/acme/sources/fw");
  EXPECT_THAT(CallAs(engineer, &Stub::DeleteSource, remove), not_theirs);
  EXPECT_THAT(Call(&Stub::DeleteSource, remove), IsOk());

  request.mutable_source()->mutable_match()->set_credential("tenants/acme/apiKeys/relay");
  ASSERT_THAT(CallAs(engineer, &Stub::CreateSource, request), IsOk());
  EXPECT_THAT(change("disabled"), IsOk());
  EXPECT_THAT(CallAs(engineer, &Stub::DeleteSource, remove), IsOk());
}

TEST_F(DirectoryTest, StaffCannotGiveTheSameLinesToTwoCustomers) {
  AddTenant("acme");
  AddTenant("beta");
  v1::CreateSourceRequest request;
  request.set_parent("tenants/acme");
  request.set_source_id("fw");
  request.mutable_source()->mutable_match()->set_device_serial("FGT60FTK00000001");
  ASSERT_THAT(Call(&Stub::CreateSource, request), IsOk());
  request.set_parent("tenants/beta");
  EXPECT_THAT(Call(&Stub::CreateSource, request), StatusIs(StatusCode::kFailedPrecondition));
  // One box may serve both: the context tells whose line it is.
  request.mutable_source()->mutable_match()->set_virtual_context("beta");
  EXPECT_THAT(Call(&Stub::CreateSource, request), IsOk());
}

TEST_F(DirectoryTest, CustomersBehindRelaysMayHaveTheSameAddressesAndSerialNumbers) {
  AddTenant("acme");
  AddTenant("beta");
  const auto create = [this](const std::string& tenant, const std::string& id,
                             const std::string& listener) {
    v1::CreateSourceRequest request;
    request.set_parent("tenants/" + tenant);
    request.set_source_id(id);
    auto& match = *request.mutable_source()->mutable_match();
    match.set_listener(listener);
    match.set_cidr("192.168.1.1/32");
    match.set_device_serial("FGT60FTK00000001");
    return Call(&Stub::CreateSource, request);
  };
  EXPECT_THAT(create("acme", "relayed", "relay"), IsOk());
  EXPECT_THAT(create("beta", "relayed", "relay"), IsOk());
  EXPECT_THAT(create("acme", "direct", "syslog_udp"), IsOk());
  EXPECT_THAT(create("beta", "direct", "syslog_udp"),
              StatusIs(StatusCode::kFailedPrecondition, "LINES_ALREADY_CLAIMED"));
}

// A source of acme for lines of a serial number, of a device.
v1::CreateSourceRequest SourceOf(const std::string& id, const std::string& serial,
                                 const std::string& device) {
  v1::CreateSourceRequest request;
  request.set_parent("tenants/acme");
  request.set_source_id(id);
  request.mutable_source()->mutable_match()->set_device_serial(serial);
  request.mutable_source()->set_device(device);
  return request;
}

TEST_F(DirectoryTest, ASerialNumberIsThatOfOneDevice) {
  AddTenant("acme");
  ASSERT_THAT(Call(&Stub::CreateSource, SourceOf("fw-1", "FGT60FTK00000001", "fw-1")), IsOk());
  const auto taken = StatusIs(StatusCode::kAlreadyExists, "CLAIMED_BY_ANOTHER");
  auto second = SourceOf("fw-2", "FGT60FTK00000001", "fw-2");
  const auto refused = Call(&Stub::CreateSource, second);
  ASSERT_THAT(refused, taken);
  EXPECT_THAT(std::string(Message(refused.status())),
              AllOf(HasSubstr("source.match.device_serial"), HasSubstr("FGT60FTK00000001"),
                    HasSubstr("tenants/acme/sources/fw-1")));
  const auto metadata = GetErrorMetadata(refused.status());
  EXPECT_EQ(metadata.at("field"), "source.match.device_serial");
  EXPECT_EQ(metadata.at("resource"), "tenants/acme/sources/fw-1");

  // Lines of the serial number that come another way are no other device's.
  second.mutable_source()->mutable_match()->set_cidr("192.0.2.0/24");
  EXPECT_THAT(Call(&Stub::CreateSource, second), taken);
  second.mutable_source()->set_device("fw-1");
  EXPECT_THAT(Call(&Stub::CreateSource, second), IsOk());
  EXPECT_THAT(Call(&Stub::CreateSource, SourceOf("fw-3", "FGT60FTK00000001", "fw-1")), taken)
      << "nothing tells its lines from those of fw-1";

  auto context = SourceOf("guest", "FGT60FTK00000001", "guest");
  context.mutable_source()->mutable_match()->set_virtual_context("guest");
  EXPECT_THAT(Call(&Stub::CreateSource, context), IsOk()) << "one box, several devices";
}

TEST_F(DirectoryTest, ASerialNumberIsNotTakenByAnUpdateEither) {
  AddTenant("acme");
  ASSERT_THAT(Call(&Stub::CreateSource, SourceOf("fw-1", "FGT60FTK00000001", "fw-1")), IsOk());
  ASSERT_THAT(Call(&Stub::CreateSource, SourceOf("fw-2", "FGT60FTK00000002", "fw-2")), IsOk());
  const auto taken = StatusIs(StatusCode::kAlreadyExists, "CLAIMED_BY_ANOTHER");
  const auto update = [&](const std::string& id, const std::string& path,
                          const std::function<void(v1::Source&)>& change) {
    v1::UpdateSourceRequest request;
    request.mutable_source()->set_name("tenants/acme/sources/" + id);
    change(*request.mutable_source());
    request.mutable_update_mask()->add_paths(path);
    return Call(&Stub::UpdateSource, request);
  };
  const auto to_first = [](v1::Source& source) {
    source.mutable_match()->set_device_serial("FGT60FTK00000001");
  };
  EXPECT_THAT(update("fw-2", "match", to_first), taken);
  EXPECT_THAT(update("fw-2", "display_name", [](auto& s) { s.set_display_name("Second"); }),
              IsOk());

  // A disabled source takes no lines; it cannot come back while another has its serial number.
  EXPECT_THAT(update("fw-1", "disabled", [](auto& s) { s.set_disabled(true); }), IsOk());
  EXPECT_THAT(update("fw-2", "match", to_first), IsOk());
  EXPECT_THAT(update("fw-1", "disabled", [](auto& s) { s.set_disabled(false); }), taken);
  v1::DeleteSourceRequest remove;
  remove.set_name("tenants/acme/sources/fw-2");
  ASSERT_THAT(Call(&Stub::DeleteSource, remove), IsOk());
  EXPECT_THAT(update("fw-1", "disabled", [](auto& s) { s.set_disabled(false); }), IsOk());
}

TEST_F(DirectoryTest, OfManyThatTakeASerialNumberAtOnceOneGetsIt) {
  AddTenant("acme");
  std::atomic<int> made = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      const std::string id = fmt::format("fw-{}", i);
      const auto source = Call(&Stub::CreateSource, SourceOf(id, "FGT60FTK00000001", id));
      if (source.ok()) {
        ++made;
      } else if (source.status().code() == StatusCode::kAlreadyExists) {
        ++refused;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(refused, 7);
}

TEST_F(DirectoryTest, ACustomerSeesItselfAndNothingElse) {
  AddTenant("acme");
  AddTenant("beta");
  ASSERT_THAT(AddAsset("acme", "a", "h"), IsOk());
  ASSERT_THAT(AddAsset("beta", "b", "h"), IsOk());
  const std::string customer = AddUser("acme", "sato", "customer-viewer");
  const auto tenants = CallAs(customer, &Stub::ListTenants, v1::ListTenantsRequest());
  ASSERT_THAT(tenants, IsOk());
  EXPECT_THAT(Names(tenants->tenants()), ElementsAre("tenants/acme"));
  v1::ListAssetsRequest list;
  list.set_parent("tenants/-");
  const auto assets = CallAs(customer, &Stub::ListAssets, list);
  ASSERT_THAT(assets, IsOk());
  EXPECT_THAT(Names(assets->assets()), ElementsAre("tenants/acme/assets/a"));
  v1::GetAssetRequest get;
  std::vector<std::string> refusals;
  for (const char* name :
       {"tenants/beta/assets/b", "tenants/beta/assets/none", "tenants/nobody/assets/b"}) {
    get.set_name(name);
    const auto refused = CallAs(customer, &Stub::GetAsset, get);
    EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied)) << name;
    refusals.push_back(refused.status().ToString());
  }
  EXPECT_EQ(refusals[0], refusals[1]);
  EXPECT_EQ(refusals[0], refusals[2]) << "whether or not it exists";
  EXPECT_THAT(CallAs("", &Stub::GetAsset, get), StatusIs(StatusCode::kUnauthenticated));
}

TEST_F(DirectoryTest, ACustomersAdministratorCannotReachFurther) {
  AddTenant("acme");
  const std::string admin = AddUser("acme", "boss", "admin");
  v1::CreateUserRequest user;
  user.set_parent("tenants/acme");
  user.set_user_id("helper");
  user.mutable_user()->set_email("h@example.test");
  user.mutable_user()->add_roles()->set_role("customer-viewer");
  EXPECT_THAT(CallAs(admin, &Stub::CreateUser, user), IsOk());
  user.set_user_id("wide");
  user.mutable_user()->mutable_roles(0)->add_tenants("*");
  EXPECT_THAT(CallAs(admin, &Stub::CreateUser, user), StatusIs(StatusCode::kInvalidArgument));
  v1::CreateTenantRequest tenant;
  tenant.set_tenant_id("mine");
  tenant.mutable_tenant()->set_display_name("Mine");
  EXPECT_THAT(CallAs(admin, &Stub::CreateTenant, tenant), StatusIs(StatusCode::kPermissionDenied));
  user.set_parent("tenants/provider");
  EXPECT_THAT(CallAs(admin, &Stub::CreateUser, user), StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(DirectoryTest, AnAdministratorOfTheProviderAloneDoesNotBecomeOneOfAll) {
  AddUser("provider", "root", "admin", {"*"});
  const std::string limited = AddUser("provider", "limited", "admin", {"provider"});
  v1::SetPasswordRequest password;
  password.set_name("tenants/provider/users/root");
  password.set_password("taken over by another");
  EXPECT_THAT(CallAs(limited, &Stub::SetPassword, password),
              StatusIs(StatusCode::kPermissionDenied, "GRANT_EXCEEDS_CALLER"));
  v1::UpdateUserRequest update;
  update.mutable_user()->set_name("tenants/provider/users/limited");
  auto& grant = *update.mutable_user()->add_roles();
  grant.set_role("admin");
  grant.add_tenants("*");
  EXPECT_THAT(CallAs(limited, &Stub::UpdateUser, update),
              StatusIs(StatusCode::kPermissionDenied, "GRANT_EXCEEDS_CALLER"));
  v1::CreateApiKeyRequest key;
  key.set_parent("tenants/provider");
  *key.mutable_api_key()->add_roles() = grant;
  EXPECT_THAT(CallAs(limited, &Stub::CreateApiKey, key),
              StatusIs(StatusCode::kPermissionDenied, "GRANT_EXCEEDS_CALLER"));
  v1::DisableUserRequest disable;
  disable.set_name("tenants/provider/users/root");
  EXPECT_THAT(CallAs(limited, &Stub::DisableUser, disable),
              StatusIs(StatusCode::kPermissionDenied, "GRANT_EXCEEDS_CALLER"));
  EXPECT_THAT(Login("provider", "root", kPassword), IsOk());
}

TEST_F(DirectoryTest, WithoutRedisItSaysUnavailable) {
  AddTenant("acme");
  redis_.KillHard();
  v1::GetTenantRequest get;
  get.set_name("tenants/acme");
  EXPECT_THAT(Call(&Stub::GetTenant, get), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(Login("provider", "root", kPassword), StatusIs(StatusCode::kUnavailable));
  redis_.Restart();
  EXPECT_THAT(Call(&Stub::GetTenant, get), IsOk());
}

}  // namespace
}  // namespace yagura::directory
