// The attack's target against the tenant's assets.
#include "services/detection/domain/impact.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/detection/domain/product_match.h"
#include "services/detection/domain/surroundings.h"

namespace yagura::detection {
namespace {

using directory::v1::Asset;
using event::v1::ACTION_UNSPECIFIED;
using event::v1::ALLOWED;
using event::v1::BLOCKED;
using event::v1::DETECTED;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using v1::Impact;

constexpr std::string_view kCatalog = R"({"title": "x", "vulnerabilities": [
  {"cveID": "CVE-2021-44228", "vendorProject": "Apache", "product": "Log4j2",
   "vulnerabilityName": "Apache Log4j2 Remote Code Execution Vulnerability",
   "dateAdded": "2021-12-10", "knownRansomwareCampaignUse": "Known"},
  {"cveID": "CVE-2024-21762", "vendorProject": "Fortinet", "product": "FortiOS, FortiProxy",
   "vulnerabilityName": "Fortinet FortiOS Out-of-Bound Write Vulnerability",
   "dateAdded": "2024-02-09", "knownRansomwareCampaignUse": "Unknown"},
  {"cveID": "CVE-2020-0000", "vendorProject": "Cisco", "product": "Multiple Products",
   "vulnerabilityName": "Cisco Multiple", "dateAdded": "2020-01-01"},
  {"vendorProject": "Nobody"}]})";

std::shared_ptr<const KevCatalog> Catalog() {
  auto catalog = KevCatalog::Parse(kCatalog);
  EXPECT_TRUE(catalog.ok()) << catalog.status();
  return *std::move(catalog);
}

Asset MakeAsset(std::string_view id, std::string_view address, directory::v1::Exposure exposure,
                std::vector<std::string> products, std::string_view site = "") {
  Asset asset;
  asset.set_name(fmt::format("tenants/acme/assets/{}", id));
  asset.set_host_name(fmt::format("{}.acme.example", id));
  auto* one = asset.add_addresses();
  one->set_address(std::string(address));
  one->set_site(std::string(site));
  asset.set_exposure(exposure);
  for (auto& product : products) asset.add_products(std::move(product));
  return asset;
}

constexpr auto kInternet = directory::v1::EXPOSURE_INTERNET;
constexpr auto kInternal = directory::v1::EXPOSURE_INTERNAL;
constexpr auto kAnywhere = directory::v1::EXPOSURE_UNSPECIFIED;

// One server at 10.0.0.1 among others.
std::shared_ptr<const Inventory> With(directory::v1::Exposure exposure,
                                      std::vector<std::string> products, bool complete = true) {
  return Inventory::Build({MakeAsset("web", "10.0.0.1", exposure, std::move(products)),
                           MakeAsset("clients", "10.9.0.0/16", kInternal, {"microsoft:windows"})},
                          complete);
}

void AddEntity(v1::Finding& finding, v1::EntityType type, std::string_view value,
               std::string_view role) {
  auto* entity = finding.add_entities();
  entity->set_type(type);
  entity->set_value(std::string(value));
  entity->set_role(std::string(role));
}

struct Attack {
  event::v1::Action action = DETECTED;
  std::string target = "10.0.0.1";
  std::string cve;
  std::string signature;
  std::string product;
};

v1::Finding MakeFinding(const Attack& attack) {
  v1::Finding finding;
  finding.set_name("tenants/acme/findings/f");
  finding.set_severity(event::v1::HIGH);
  finding.set_event_count(1);
  finding.set_action(attack.action);
  finding.set_device("fw-1");
  AddEntity(finding, v1::IP_ADDRESS, "192.0.2.7", "source");
  if (!attack.target.empty()) AddEntity(finding, v1::IP_ADDRESS, attack.target, "target");
  if (!attack.cve.empty()) AddEntity(finding, v1::VULNERABILITY, attack.cve, "exploited");
  if (!attack.product.empty()) AddEntity(finding, v1::PRODUCT, attack.product, "target");
  auto& event = *finding.mutable_event();
  event.set_signature(attack.signature);
  event.set_rule("21");
  event.set_direction("inbound");
  event.mutable_dst()->set_port(443);
  event.set_protocol("tcp");
  finding.add_evidence()->set_action(attack.action);
  return finding;
}

struct Case {
  const char* name;
  Attack attack;
  std::shared_ptr<const Inventory> inventory;
  v1::ImpactLevel level;
  Impact::Confidence confidence;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class ImpactTable : public ::testing::TestWithParam<Case> {};

TEST_P(ImpactTable, LevelAndConfidence) {
  const Case& one = GetParam();
  const auto catalog = Catalog();
  const Impact impact = JudgeImpact(MakeFinding(one.attack), {one.inventory.get(), catalog.get()});
  EXPECT_EQ(v1::ImpactLevel_Name(impact.level()), v1::ImpactLevel_Name(one.level))
      << impact.DebugString();
  EXPECT_EQ(Impact::Confidence_Name(impact.confidence()), Impact::Confidence_Name(one.confidence))
      << impact.DebugString();
  EXPECT_THAT(impact.reasons(), Not(IsEmpty()));
}

const auto kLog4j = "CVE-2021-44228";
constexpr auto kUnsure = Impact::CONFIDENCE_UNSPECIFIED;

INSTANTIATE_TEST_SUITE_P(
    Cases, ImpactTable,
    ::testing::Values(
        // What is not known is unknown, whatever the attack.
        Case{"NotRead", {DETECTED, "10.0.0.1", kLog4j}, nullptr, v1::UNKNOWN, kUnsure},
        Case{"NoInventory",
             {DETECTED, "10.0.0.1", kLog4j},
             Inventory::Build({}, true),
             v1::UNKNOWN,
             kUnsure},
        Case{"TargetNotInInventory",
             {DETECTED, "10.0.0.99", kLog4j},
             With(kInternet, {"nginx:nginx"}),
             v1::UNKNOWN,
             kUnsure},
        Case{"NoTarget",
             {DETECTED, "", kLog4j},
             With(kInternet, {"nginx:nginx"}),
             v1::UNKNOWN,
             kUnsure},
        // What came through to something that is vulnerable.
        Case{"Cpe",
             {DETECTED, "10.0.0.1", kLog4j},
             With(kInternet, {"cpe:2.3:a:apache:log4j:2.14.1:*:*:*:*:*:*:*"}),
             v1::VULNERABLE,
             Impact::MEDIUM},
        Case{"VendorAndProduct",
             {ALLOWED, "10.0.0.1", kLog4j},
             With(kInternal, {"apache:log4j2:2.14"}),
             v1::VULNERABLE,
             Impact::MEDIUM},
        Case{"OneOfSeveralProducts",
             {DETECTED, "10.0.0.1", "CVE-2024-21762"},
             With(kInternet, {"nginx:nginx", "fortinet:fortiproxy:7.0"}),
             v1::VULNERABLE,
             Impact::MEDIUM},
        Case{"NameWithoutVendor",
             {DETECTED, "10.0.0.1", kLog4j},
             With(kInternet, {"log4j"}),
             v1::VULNERABLE,
             Impact::LOW},
        Case{"AnyProductOfTheVendor",
             {DETECTED, "10.0.0.1", "CVE-2020-0000"},
             With(kInternet, {"cisco:ios_xe:17"}),
             v1::VULNERABLE,
             Impact::LOW},
        Case{"SignatureNamesTheProduct",
             {DETECTED, "10.0.0.1", "", "Apache.Log4j.Error.Log.Remote.Code.Execution"},
             With(kInternet, {"apache:log4j:2.14"}),
             v1::VULNERABLE,
             Impact::LOW},
        Case{"MetadataNameTheProduct",
             {DETECTED, "10.0.0.1", "", "", "Apache_Log4j2"},
             With(kInternet, {"apache:log4j:2.14"}),
             v1::VULNERABLE,
             Impact::MEDIUM},
        Case{"NotSaidWhetherStopped",
             {ACTION_UNSPECIFIED, "10.0.0.1", kLog4j},
             With(kInternet, {"apache:log4j:2.14"}),
             v1::VULNERABLE,
             Impact::MEDIUM},
        // Not affected: only where all is known.
        Case{"OtherProducts",
             {DETECTED, "10.0.0.1", kLog4j},
             With(kInternet, {"nginx:nginx:1.24"}),
             v1::NOT_AFFECTED,
             Impact::LOW},
        Case{"NoProductsListed",
             {DETECTED, "10.0.0.1", kLog4j},
             With(kInternet, {}),
             v1::EXPOSED,
             Impact::HIGH},
        Case{"VulnerabilityNotInTheCatalogue",
             {DETECTED, "10.0.0.1", "CVE-2000-0001"},
             With(kInternet, {"nginx:nginx"}),
             v1::EXPOSED,
             Impact::HIGH},
        Case{"ASignatureAloneDoesNotClear",
             {DETECTED, "10.0.0.1", "", "Apache.Log4j.RCE"},
             With(kInternet, {"nginx:nginx"}),
             v1::EXPOSED,
             Impact::HIGH},
        Case{"MetadataThatSayAny",
             {DETECTED, "10.0.0.1", "", "", "Any"},
             With(kInternet, {"nginx:nginx"}),
             v1::EXPOSED,
             Impact::HIGH},
        Case{"InventoryIncomplete",
             {DETECTED, "10.0.0.1", kLog4j},
             With(kInternet, {"nginx:nginx"}, false),
             v1::EXPOSED,
             Impact::HIGH},
        Case{"ByItsNetwork",
             {DETECTED, "10.9.1.2", kLog4j},
             With(kInternet, {}),
             v1::EXPOSED,
             Impact::LOW},
        Case{"MetadataAloneDoNotClear",
             {DETECTED, "10.0.0.1", "", "", "Apache_Log4j2"},
             With(kInternet, {"nginx:nginx"}),
             v1::EXPOSED,
             Impact::HIGH},
        Case{"AnotherProductOfTheVendor",
             {DETECTED, "10.0.0.1", kLog4j},
             With(kInternet, {"apache:http_server:2.4"}),
             v1::EXPOSED,
             Impact::HIGH},
        Case{"AProductWithoutAVendor",
             {DETECTED, "10.0.0.1", kLog4j},
             With(kInternet, {"web shop"}),
             v1::EXPOSED,
             Impact::HIGH},
        // Exposed: it came through, more is not known.
        Case{"NoVulnerability",
             {ALLOWED, "10.0.0.1"},
             With(kInternet, {"nginx:nginx"}),
             v1::EXPOSED,
             Impact::HIGH},
        Case{"InventoryContradicts",
             {ALLOWED, "10.0.0.1"},
             With(kInternal, {"nginx:nginx"}),
             v1::EXPOSED,
             Impact::MEDIUM},
        Case{"ExposureNotKnown",
             {ALLOWED, "10.0.0.1"},
             With(kAnywhere, {"nginx:nginx"}),
             v1::EXPOSED,
             Impact::LOW},
        Case{"NotSaidAndNoVulnerability",
             {ACTION_UNSPECIFIED, "10.0.0.1"},
             With(kInternet, {}),
             v1::EXPOSED,
             Impact::MEDIUM},
        // Blocked, whatever the target.
        Case{"Blocked",
             {BLOCKED, "10.0.0.1", kLog4j},
             With(kInternet, {"apache:log4j"}),
             v1::BLOCKED,
             Impact::HIGH},
        Case{"BlockedWithoutInventory",
             {BLOCKED, "10.0.0.1", kLog4j},
             nullptr,
             v1::BLOCKED,
             Impact::HIGH},
        Case{"BlockedOtherProducts",
             {BLOCKED, "10.0.0.1", kLog4j},
             With(kInternet, {"nginx:nginx"}),
             v1::BLOCKED,
             Impact::HIGH}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(Impact, TellsWhatIsExploitedAndWhatItIsAbout) {
  const auto catalog = Catalog();
  const auto inventory = With(kInternet, {"apache:log4j:2.14.1"});
  const Impact impact =
      JudgeImpact(MakeFinding({DETECTED, "10.0.0.1", kLog4j}), {inventory.get(), catalog.get()});
  EXPECT_THAT(impact.known_exploited(), ElementsAre(kLog4j));
  EXPECT_THAT(impact.assets(), ElementsAre("tenants/acme/assets/web"));
  EXPECT_THAT(impact.reasons(),
              Contains(HasSubstr("is exploited in the wild: CISA KEV, since 2021-12-10, also by "
                                 "ransomware")));
  EXPECT_THAT(impact.reasons(), Contains(HasSubstr("The asset web runs apache:log4j:2.14.1")));
  EXPECT_THAT(impact.reasons(), Contains(HasSubstr("port 443/tcp, which the Internet can reach")));
}

// Without a catalogue nothing can be in it: that is no statement about the attack.
TEST(Impact, SaysThatNoCatalogueIsLoaded) {
  const auto inventory = With(kInternet, {"apache:log4j:2.14.1"});
  const auto finding = MakeFinding({DETECTED, "10.0.0.1", kLog4j});
  EXPECT_THAT(JudgeImpact(finding, {inventory.get(), nullptr}).reasons(),
              Contains(HasSubstr("no catalogue of known exploited vulnerabilities (CISA KEV) is "
                                 "loaded (setting kev_file)")));
  const auto catalog = Catalog();
  EXPECT_THAT(JudgeImpact(finding, {inventory.get(), catalog.get()}).reasons(),
              Not(Contains(HasSubstr("kev_file"))));
}

TEST(Impact, ABlockedAttackNamesTheDeviceTheRuleAndWhatIsStillOpen) {
  const auto catalog = Catalog();
  const auto inventory = With(kInternet, {"apache:log4j:2.14.1"});
  const Impact impact =
      JudgeImpact(MakeFinding({BLOCKED, "10.0.0.1", kLog4j}), {inventory.get(), catalog.get()});
  EXPECT_THAT(impact.reasons(), Contains("The device fw-1 blocked it by its rule 21."));
  EXPECT_THAT(impact.reasons(), Contains(HasSubstr("by another way")));
}

TEST(Impact, ReasonsDoNotContradictWhatTheDeviceDid) {
  const auto inventory = With(kInternet, {"nginx:nginx"});
  const auto reasons = [&](event::v1::Action action) {
    return JudgeImpact(MakeFinding({action, "10.0.0.1"}), {inventory.get(), nullptr}).reasons();
  };
  const auto not_said = Contains(HasSubstr("do not say whether it was stopped"));
  EXPECT_THAT(reasons(BLOCKED), Not(not_said));
  EXPECT_THAT(reasons(BLOCKED), Not(Contains(HasSubstr("let it through"))));
  for (const auto action : {ALLOWED, DETECTED, event::v1::STARTED, event::v1::ENDED}) {
    EXPECT_THAT(reasons(action), Contains("The device let it through.")) << action;
    EXPECT_THAT(reasons(action), Not(not_said)) << action;
  }
  EXPECT_THAT(reasons(event::v1::LOGON_FAILED), Not(not_said));
  EXPECT_THAT(reasons(ACTION_UNSPECIFIED), not_said);
}

TEST(Impact, MoreEventsThanEvidenceMakeBlockedLessSure) {
  auto finding = MakeFinding({BLOCKED, "10.0.0.1"});
  finding.set_event_count(100);
  EXPECT_EQ(JudgeImpact(finding, {}).confidence(), Impact::MEDIUM);
}

TEST(Impact, WithoutATargetOfTheTenantItIsAboutItsSource) {
  v1::Finding finding;
  finding.set_action(ALLOWED);
  AddEntity(finding, v1::IP_ADDRESS, "10.9.3.4", "source");
  AddEntity(finding, v1::IP_ADDRESS, "198.51.100.9", "target");
  AddEntity(finding, v1::URL, "www.example.com", "target");
  const auto inventory = With(kInternet, {});
  const Impact impact = JudgeImpact(finding, {inventory.get(), nullptr});
  EXPECT_EQ(impact.level(), v1::EXPOSED);
  EXPECT_THAT(impact.assets(), ElementsAre("tenants/acme/assets/clients"));
}

TEST(Impact, OneKnownTargetDoesNotClearTheOthers) {
  auto finding = MakeFinding({DETECTED, "10.0.0.1", kLog4j});
  AddEntity(finding, v1::IP_ADDRESS, "10.0.0.99", "target");
  const auto catalog = Catalog();
  const auto inventory = With(kInternet, {"nginx:nginx"});
  const Impact impact = JudgeImpact(finding, {inventory.get(), catalog.get()});
  EXPECT_EQ(impact.level(), v1::EXPOSED);
  EXPECT_THAT(impact.reasons(), Contains(HasSubstr("1 of the addresses")));
}

// Two attacks, each on its own host, as a correlation has them in one finding.
v1::Finding TwoAttacks() {
  v1::Finding finding;
  finding.set_name("tenants/acme/findings/f");
  finding.set_action(DETECTED);
  finding.set_event_count(2);
  struct One {
    const char* target;
    const char* cve;
    const char* signature;
  };
  for (const One& one : {One{"10.1.9.11", kLog4j, "Apache.Log4j.Error.Log.Remote.Code.Execution"},
                         One{"10.1.9.12", "CVE-2099-0001", "Foo.Bar.RCE"}}) {
    AddEntity(finding, v1::IP_ADDRESS, one.target, "target");
    AddEntity(finding, v1::VULNERABILITY, one.cve, "exploited");
    auto& evidence = *finding.add_evidence();
    evidence.set_action(DETECTED);
    evidence.set_signature(one.signature);
    const auto& entities = finding.entities();
    *evidence.add_entities() = entities[entities.size() - 2];
    *evidence.add_entities() = entities[entities.size() - 1];
  }
  finding.mutable_event()->set_signature(finding.evidence(0).signature());
  finding.mutable_event()->mutable_dst()->set_ip(std::string("\x0a\x01\x09\x0b", 4));
  finding.mutable_event()->mutable_dst()->set_port(8080);
  return finding;
}

std::shared_ptr<const Inventory> TwoServers(std::vector<std::string> first,
                                            std::vector<std::string> second) {
  return Inventory::Build({MakeAsset("w11", "10.1.9.11", kInternet, std::move(first)),
                           MakeAsset("w12", "10.1.9.12", kInternet, std::move(second))},
                          true);
}

TEST(Impact, AHostIsJudgedByTheAttacksThatWentToIt) {
  const auto catalog = Catalog();
  const auto finding = TwoAttacks();
  auto inventory = TwoServers({"nginx:nginx"}, {"apache:log4j"});
  Impact impact = JudgeImpact(finding, {inventory.get(), catalog.get()});
  EXPECT_EQ(impact.level(), v1::EXPOSED) << impact.DebugString();
  EXPECT_THAT(impact.reasons(), Not(Contains(HasSubstr("w12 runs"))));
  EXPECT_THAT(impact.reasons(), Contains(HasSubstr("the asset w11, port 8080")));
  EXPECT_THAT(impact.reasons(), Contains("It was aimed at the asset w12, which the Internet can "
                                         "reach."));
  inventory = TwoServers({"apache:log4j"}, {"nginx:nginx"});
  impact = JudgeImpact(finding, {inventory.get(), catalog.get()});
  EXPECT_EQ(impact.level(), v1::VULNERABLE);
  EXPECT_EQ(impact.confidence(), Impact::MEDIUM);
  EXPECT_THAT(impact.reasons(),
              Contains(HasSubstr("w11 runs apache:log4j, which an attack on it")));
}

// Evidence of 20 events is kept: of the others it is not known what went to whom, unless all are
// the same.
TEST(Impact, AHostWithoutEvidenceIsJudgedByWhatAllAttacksHaveInCommon) {
  const auto catalog = Catalog();
  const auto inventory =
      Inventory::Build({MakeAsset("w13", "10.1.9.13", kInternet, {"apache:log4j"})}, true);
  auto finding = TwoAttacks();
  AddEntity(finding, v1::IP_ADDRESS, "10.1.9.13", "target");
  finding.set_event_count(3);
  EXPECT_EQ(JudgeImpact(finding, {inventory.get(), catalog.get()}).level(), v1::EXPOSED);
  finding.add_tags("cve.2021-44228");
  EXPECT_EQ(JudgeImpact(finding, {inventory.get(), catalog.get()}).level(), v1::VULNERABLE);
  finding.clear_tags();
  *finding.mutable_evidence(1) = finding.evidence(0);  // the same attack, and no other
  finding.mutable_entities()->DeleteSubrange(2, 2);
  EXPECT_EQ(JudgeImpact(finding, {inventory.get(), catalog.get()}).level(), v1::VULNERABLE);
}

// An attack without a CVE is none that the catalogue could clear.
TEST(Impact, OneKnownAttackDoesNotClearAnother) {
  const auto catalog = Catalog();
  const auto inventory = TwoServers({"nginx:nginx"}, {"nginx:nginx"});
  auto finding = TwoAttacks();
  finding.mutable_evidence(1)->mutable_entities(1)->set_value(kLog4j);
  finding.mutable_entities()->RemoveLast();
  EXPECT_EQ(JudgeImpact(finding, {inventory.get(), catalog.get()}).level(), v1::NOT_AFFECTED);
  finding.mutable_evidence(1)->mutable_entities()->RemoveLast();
  EXPECT_EQ(JudgeImpact(finding, {inventory.get(), catalog.get()}).level(), v1::EXPOSED);
}

// Findings of an earlier release say the signature of their first event alone.
TEST(Impact, AnEarlierReleasesSignatureIsOfItsFirstEvent) {
  auto finding = TwoAttacks();
  for (auto& evidence : *finding.mutable_evidence()) evidence.clear_signature();
  auto inventory = TwoServers({"nginx:nginx"}, {"apache:log4j"});
  EXPECT_EQ(JudgeImpact(finding, {inventory.get(), nullptr}).level(), v1::EXPOSED);
  inventory = TwoServers({"apache:log4j"}, {"nginx:nginx"});
  EXPECT_EQ(JudgeImpact(finding, {inventory.get(), nullptr}).level(), v1::VULNERABLE);
}

TEST(Impact, TextsOfLogsAreMadePrintableAndCut) {
  auto finding = MakeFinding({BLOCKED, "10.0.0.1"});
  finding.mutable_event()->set_rule("21\x1b[2J\n" + std::string(5000, 'r'));
  const Impact impact = JudgeImpact(finding, {});
  for (const auto& reason : impact.reasons()) {
    EXPECT_LE(reason.size(), 300U);
    EXPECT_THAT(reason, Not(HasSubstr("\n")));
    EXPECT_THAT(reason, Not(HasSubstr("\x1b")));
  }
}

TEST(Impact, RanksWhatCameThroughAboveWhatWasBlocked) {
  const auto rank = [](event::v1::Severity severity, v1::ImpactLevel level) {
    v1::Finding finding;
    finding.set_severity(severity);
    finding.mutable_impact()->set_level(level);
    finding.mutable_impact()->set_confidence(Impact::MEDIUM);
    return RankOf(finding);
  };
  for (const auto severity :
       {event::v1::LOW, event::v1::MEDIUM, event::v1::HIGH, event::v1::CRITICAL}) {
    EXPECT_GT(rank(severity, v1::VULNERABLE), rank(severity, v1::EXPOSED));
    EXPECT_GT(rank(severity, v1::EXPOSED), rank(severity, v1::UNKNOWN));
    EXPECT_GT(rank(severity, v1::UNKNOWN), rank(severity, v1::NOT_AFFECTED));
    EXPECT_GT(rank(severity, v1::NOT_AFFECTED), rank(severity, v1::BLOCKED));
  }
  EXPECT_GT(rank(event::v1::HIGH, v1::EXPOSED), rank(event::v1::CRITICAL, v1::BLOCKED));
  EXPECT_EQ(rank(event::v1::CRITICAL, v1::VULNERABLE), 100);
}

TEST(Inventory, SitesHaveTheirOwnAddresses) {
  const auto inventory = Inventory::Build({MakeAsset("a", "10.0.0.1", kInternal, {}, "tokyo"),
                                           MakeAsset("b", "10.0.0.1", kInternal, {}, "osaka"),
                                           MakeAsset("c", "10.0.0.2", kInternal, {}, "osaka"),
                                           MakeAsset("d", "10.0.0.0/24", kInternal, {}, "tokyo"),
                                           MakeAsset("e", "2001:db8::1", kInternet, {})},
                                          true);
  const auto find = [&](std::string_view address, std::string_view site) {
    const auto found = inventory->ByAddress(address, site);
    return found.asset == nullptr ? std::string() : found.asset->name().substr(20);
  };
  EXPECT_EQ(find("10.0.0.1", "tokyo"), "a");
  EXPECT_EQ(find("10.0.0.1", "osaka"), "b");
  EXPECT_EQ(find("10.0.0.1", ""), "");        // whose?
  EXPECT_EQ(find("10.0.0.2", ""), "c");       // nobody else has it
  EXPECT_EQ(find("10.0.0.2", "tokyo"), "d");  // by the network
  EXPECT_EQ(find("10.0.0.3", "osaka"), "");
  EXPECT_EQ(find("2001:DB8:0::1", "osaka"), "e");
  EXPECT_EQ(find("nonsense", ""), "");
  EXPECT_NE(inventory->ByHost("A").asset, nullptr);
  EXPECT_NE(inventory->ByHost("a.acme.example").asset, nullptr);
  EXPECT_EQ(inventory->ByHost("a.example.com").asset, nullptr);
  EXPECT_EQ(inventory->ByHost("").asset, nullptr);
}

TEST(ProductMatch, ComparesByWords) {
  const auto catalogue = [](std::string_view product, std::string_view vendor,
                            std::string_view products) {
    return MatchCatalogue(ParseProduct(product), vendor, products);
  };
  EXPECT_EQ(catalogue("microsoft:exchange_server:2019", "Microsoft", "Exchange Server"),
            Likeness::kSame);
  EXPECT_EQ(catalogue("paloaltonetworks:pan-os", "Palo Alto Networks", "PAN-OS"), Likeness::kSame);
  EXPECT_EQ(catalogue("cisco:ios:15", "Cisco", "IOS XE Web UI"), Likeness::kAlike);
  EXPECT_EQ(catalogue("microsoft:windows_server_2019", "Microsoft", "Windows"), Likeness::kAlike);
  EXPECT_EQ(catalogue("nginx:nginx", "Apache", "Log4j2"), Likeness::kNone);
  EXPECT_EQ(catalogue("apache:http_server", "Apache", "Log4j2"), Likeness::kMaybe);
  EXPECT_EQ(catalogue("cisco:asa", "Cisco", "Adaptive Security Appliance and Firepower"),
            Likeness::kMaybe);
  EXPECT_EQ(catalogue("", "Apache", "Log4j2"), Likeness::kMaybe);
  EXPECT_EQ(catalogue(":::", "Apache", "Log4j2"), Likeness::kMaybe);
  EXPECT_EQ(MatchSignature(ParseProduct("a:ios"), "Some.IOS.Attack"), Likeness::kNone);
  EXPECT_EQ(MatchSignature(ParseProduct(""), "anything"), Likeness::kNone);
}

TEST(Kev, RefusesWhatIsNoCatalogue) {
  for (const char* text : {"", "{}", "[]", "{\"vulnerabilities\": [1]}", "{\"vulnerabilities\": 1}",
                           "{\"vulnerabilities\": [}"}) {
    EXPECT_FALSE(KevCatalog::Parse(text).ok()) << text;
  }
  EXPECT_EQ(Catalog()->size(), 3U);
  EXPECT_EQ(Catalog()->Find("CVE-1999-0001"), nullptr);
}

TEST(Kev, ReadsThePublishedCatalogue) {
  const char* data = std::getenv("YAGURA_DATA");
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  const std::filesystem::path folder =
      data != nullptr ? std::filesystem::path(data)
                      : std::filesystem::path(source != nullptr ? source : ".") / "../shared/data";
  const auto file = folder / "kev/known_exploited_vulnerabilities.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no " << file;
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  const auto catalog = KevCatalog::Parse(text.str());
  ASSERT_TRUE(catalog.ok()) << catalog.status();
  EXPECT_EQ((*catalog)->size(), 1404U);
  const auto* entry = (*catalog)->Find("CVE-2021-44228");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->product, "Log4j2");
  EXPECT_TRUE(entry->ransomware);
}

TEST(Surroundings, ATenantIsJudgedByItsOwnInventory) {
  Surroundings surroundings;
  auto finding = MakeFinding({ALLOWED, "10.0.0.1"});
  surroundings.Judge(finding);
  EXPECT_THAT(finding.impact().reasons(0), HasSubstr("could not be read yet"));
  surroundings.SetInventories({{"other", With(kInternet, {})}});
  surroundings.Judge(finding);
  EXPECT_THAT(finding.impact().reasons(0), HasSubstr("has no inventory"));
  EXPECT_EQ(finding.impact().level(), v1::UNKNOWN);
  surroundings.SetInventory("acme", With(kInternet, {}));
  surroundings.Judge(finding);
  EXPECT_EQ(finding.impact().level(), v1::EXPOSED);
  EXPECT_EQ(finding.rank(), RankOf(finding));
  EXPECT_EQ(surroundings.LanguageOf("acme"), "en");
  surroundings.SetLanguages({{"acme", "ja"}, {"odd", "xx"}});
  EXPECT_EQ(surroundings.LanguageOf("acme"), "ja");
  EXPECT_EQ(surroundings.LanguageOf("odd"), "en");
}

}  // namespace
}  // namespace yagura::detection
