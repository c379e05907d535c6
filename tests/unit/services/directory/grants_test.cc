#include "services/directory/domain/grants.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::directory {
namespace {

using testing::IsOk;
using testing::StatusIs;

RoleGrants Make(std::string_view role, std::vector<std::string> tenants) {
  RoleGrants grants;
  auto& grant = *grants.Add();
  grant.set_role(std::string(role));
  for (auto& tenant : tenants) grant.add_tenants(std::move(tenant));
  return grants;
}

absl::Status Check(const RoleGrants& grants, std::string_view tenant) {
  FieldErrors errors;
  CheckGrants(grants, tenant, "roles", errors);
  return errors.ToStatus();
}

auth::Principal Caller(const RoleGrants& grants, std::string_view tenant) {
  auth::Principal principal;
  principal.grants = ToAuthGrants(grants, tenant);
  return principal;
}

TEST(GrantsTest, StaffReachSeveralTenantsAndCustomersTheirOwn) {
  EXPECT_THAT(Check(Make("analyst", {"acme", "beta"}), "provider"), IsOk());
  EXPECT_THAT(Check(Make("admin", {"*"}), "provider"), IsOk());
  EXPECT_THAT(Check(Make("customer-viewer", {}), "acme"), IsOk());
  EXPECT_THAT(Check(Make("customer-viewer", {"acme"}), "acme"), IsOk());
  for (const auto& bad :
       {Make("customer-viewer", {"beta"}), Make("admin", {"*"}), Make("admin", {"provider"}),
        Make("service", {}), Make("root", {}), Make("", {})}) {
    EXPECT_THAT(Check(bad, "acme"), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (const auto& bad : {Make("service", {"*"}), Make("admin", {"*", "acme"}),
                          Make("admin", {"-"}), Make("admin", {"a/b"})}) {
    EXPECT_THAT(Check(bad, "provider"), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(GrantsTest, WhateverIsStoredACustomerNeverReachesFurther) {
  for (const auto& stored : {Make("admin", {"*"}), Make("admin", {"beta"}), Make("admin", {})}) {
    const auto grants = ToAuthGrants(stored, "acme");
    ASSERT_EQ(grants.size(), 1u);
    EXPECT_FALSE(grants[0].all_tenants);
    EXPECT_EQ(grants[0].tenants, std::set<std::string>{"acme"});
  }
}

TEST(GrantsTest, NobodyGivesWhatTheyDoNotHold) {
  const auto admin_of_all = Caller(Make("admin", {"*"}), "provider");
  const auto admin_of_acme = Caller(Make("admin", {}), "acme");
  const auto engineer = Caller(Make("engineer", {"acme", "beta"}), "provider");
  EXPECT_THAT(CheckCallerHolds(admin_of_all, Make("approver", {"*"}), "provider"), IsOk());
  EXPECT_THAT(CheckCallerHolds(admin_of_acme, Make("customer-approver", {}), "acme"), IsOk());
  EXPECT_THAT(CheckCallerHolds(engineer, Make("engineer", {"acme"}), "provider"), IsOk());
  const auto denied = StatusIs(absl::StatusCode::kPermissionDenied, "GRANT_EXCEEDS_CALLER");
  EXPECT_THAT(CheckCallerHolds(admin_of_acme, Make("admin", {"*"}), "provider"), denied);
  EXPECT_THAT(CheckCallerHolds(admin_of_acme, Make("viewer", {}), "beta"), denied);
  EXPECT_THAT(CheckCallerHolds(engineer, Make("engineer", {"*"}), "provider"), denied);
  EXPECT_THAT(CheckCallerHolds(engineer, Make("admin", {"acme"}), "provider"), denied);
  EXPECT_THAT(CheckCallerHolds(engineer, Make("engineer", {}), "provider"), denied)
      << "without tenants it reaches the provider itself";
}

}  // namespace
}  // namespace yagura::directory
