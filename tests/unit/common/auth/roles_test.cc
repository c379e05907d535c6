#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/auth/principal.h"

namespace yagura::auth {
namespace {

std::vector<std::string> RolesWith(std::string_view permission) {
  std::vector<std::string> out;
  for (const std::string& role : Roles()) {
    if (RoleGrants(role, permission)) out.push_back(role);
  }
  return out;
}

TEST(Roles, OnlyApproversAndAdministratorsApproveChanges) {
  EXPECT_THAT(RolesWith("config.changes.approve"),
              testing::UnorderedElementsAre("approver", "customer-approver", "admin"));
}

TEST(Roles, ApiKeysAreForAdministratorsAlone) {
  for (const char* verb : {"list", "get", "create", "update", "delete", "rotate"}) {
    EXPECT_THAT(RolesWith(std::string("directory.api_keys.") + verb),
                testing::UnorderedElementsAre("admin", "service"));
  }
}

TEST(Roles, OnlyEngineersAndAdministratorsRevealSnapshots) {
  EXPECT_THAT(RolesWith("config.snapshots.reveal"),
              testing::UnorderedElementsAre("engineer", "admin"));
}

TEST(Roles, TheAuditTrailIsForAnalystsApproversAndAdministrators) {
  EXPECT_THAT(RolesWith("audit.records.list"),
              testing::UnorderedElementsAre("analyst", "approver", "admin", "service"));
}

TEST(Roles, CustomersNeverSeeInternalComments) {
  EXPECT_FALSE(RoleGrants("customer-viewer", "ticketing.comments.internal"));
  EXPECT_FALSE(RoleGrants("customer-approver", "ticketing.comments.internal"));
  for (const char* role : {"viewer", "analyst", "engineer", "approver", "on-call", "admin"}) {
    EXPECT_TRUE(RoleGrants(role, "ticketing.comments.internal")) << role;
  }
}

TEST(Roles, ViewersChangeNothing) {
  for (const char* permission :
       {"ticketing.tickets.update", "config.changes.submit", "detection.rules.create",
        "directory.users.create", "directory.api_keys.list", "notification.contacts.test",
        "notification.alerts.acknowledge", "config.credentials.list"}) {
    EXPECT_FALSE(RoleGrants("viewer", permission)) << permission;
    EXPECT_FALSE(RoleGrants("customer-viewer", permission)) << permission;
  }
  EXPECT_TRUE(RoleGrants("viewer", "ticketing.tickets.list"));
  for (const std::string& role : Roles())
    EXPECT_TRUE(RoleGrants(role, "directory.self.get")) << role;
}

TEST(Roles, ACollectorPushesEventsAndDoesNothingElse) {
  EXPECT_THAT(RolesWith("ingestion.events.push"),
              testing::UnorderedElementsAre("engineer", "collector", "admin", "service"));
  for (const char* permission :
       {"ingestion.quarantinedSources.list", "archive.events.search", "archive.events.tail",
        "directory.tenants.get", "directory.sources.list", "directory.api_keys.create",
        "ticketing.tickets.create", "config.devices.list", "detection.findings.list"}) {
    EXPECT_FALSE(RoleGrants("collector", permission)) << permission;
  }
}

TEST(Roles, DeadLettersAreForWhoKeepsTheHouseRunning) {
  for (const char* verb : {"list", "get", "delete"}) {
    EXPECT_THAT(RolesWith(std::string("detection.dead_letters.") + verb),
                testing::UnorderedElementsAre("engineer", "admin", "service"));
  }
}

TEST(Roles, StaffHuntCustomersSeeResultsAlone) {
  for (const char* verb : {"create", "cancel", "delete"}) {
    EXPECT_THAT(
        RolesWith(std::string("detection.hunts.") + verb),
        testing::UnorderedElementsAre("analyst", "engineer", "on-call", "admin", "service"));
  }
  for (const char* role : {"customer-viewer", "customer-approver"}) {
    EXPECT_TRUE(RoleGrants(role, "detection.hunt_results.list")) << role;
    EXPECT_FALSE(RoleGrants(role, "detection.hunts.get")) << role;
    EXPECT_FALSE(RoleGrants(role, "detection.rule_coverage.list")) << role;
  }
  EXPECT_TRUE(RoleGrants("viewer", "detection.rule_coverage.list"));
}

TEST(Roles, AnUnknownRoleGrantsNothingAndAPatternIsNoPermission) {
  EXPECT_FALSE(RoleGrants("root", "ticketing.tickets.list"));
  EXPECT_FALSE(RoleGrants("", "ticketing.tickets.list"));
  EXPECT_FALSE(RoleGrants("admin", ""));
  EXPECT_FALSE(RoleGrants("admin", "*"));
}

TEST(Principal, APermissionExtendsToTheTenantsOfTheRolesThatGrantIt) {
  Principal alice{"tenants/provider/users/alice",
                  {{"viewer", true, {}}, {"approver", false, {"acme", "globex"}}},
                  "",
                  {}};
  EXPECT_TRUE(alice.TenantsFor("ticketing.tickets.list").all);
  EXPECT_EQ(alice.TenantsFor("config.changes.approve").tenants,
            (std::set<std::string>{"acme", "globex"}));
  EXPECT_TRUE(alice.Allows("config.changes.approve", "acme"));
  EXPECT_FALSE(alice.Allows("config.changes.approve", "initech"));
  EXPECT_TRUE(alice.TenantsFor("directory.users.create").empty());
}

TEST(Principal, AServiceHasTheRightsOfWhomItActsForLessWhatNoServiceMayDo) {
  Principal service{
      "services/ticketing", {{"engineer", false, {"acme"}}}, "tenants/acme/users/bob", {}};
  EXPECT_TRUE(service.Allows("config.devices.get", "acme"));
  EXPECT_FALSE(service.Allows("config.devices.get", "globex"));
  EXPECT_FALSE(service.Allows("config.changes.approve", "acme")) << "an engineer may not either";
  EXPECT_FALSE(service.Allows("config.snapshots.reveal", "acme"));
  EXPECT_TRUE(service.TenantsFor("config.snapshots.reveal").empty());
}

}  // namespace
}  // namespace yagura::auth
