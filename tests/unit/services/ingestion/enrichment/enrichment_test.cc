// What events are enriched with: assets by site, internal and external, GeoIP, threat lists.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"
#include "mmdb_writer.h"
#include "services/ingestion/domain/enrichment/enricher.h"
#include "yagura/directory/v1/asset.pb.h"
#include "yagura/directory/v1/site.pb.h"

namespace yagura::ingestion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr char kMd5[] = "44d88612fea8a8f36de82e1278abb02f";
constexpr char kSha256[] = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";

class EnrichmentTest : public ::testing::Test {
 protected:
  EnrichmentTest() { std::filesystem::create_directories(folder_); }
  ~EnrichmentTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary | std::ios::trunc) << text;
  }
  std::shared_ptr<const ThreatLists> Lists() {
    problems_.clear();
    auto lists = ThreatLists::Load(folder_, &problems_);
    EXPECT_THAT(lists, IsOk());
    return lists.ok() ? *std::move(lists) : nullptr;
  }
  static AddressKey Key(const char* text) { return KeyOf(*event::IpAddress::Parse(text)); }
  static std::string NameOf(const std::string* list) { return list == nullptr ? "" : *list; }

  void AddAsset(const std::string& tenant, const std::string& id, const std::string& site,
                const std::string& address, const std::string& host = "") {
    auto& asset = assets_.emplace_back();
    asset.set_name(fmt::format("tenants/{}/assets/{}", tenant, id));
    asset.set_host_name(host);
    if (address.empty()) return;
    asset.add_addresses()->set_site(site);
    asset.mutable_addresses(0)->set_address(address);
  }
  void AddSite(const std::string& tenant, const std::string& id, const std::string& network) {
    auto& site = sites_.emplace_back();
    site.set_name(fmt::format("tenants/{}/sites/{}", tenant, id));
    site.add_networks(network);
  }

  // The fields that an event of that site is given.
  std::map<std::string, std::string> Enrich(const std::string& tenant, const std::string& site,
                                            event::EventView event) {
    event.site = site;
    enricher_.Enrich(tenant, &event);
    std::map<std::string, std::string> fields;
    for (const auto& field : event.fields) fields[std::string(field.name)] = field.value;
    return fields;
  }
  static event::EventView Ends(const char* source, const char* target) {
    event::EventView event;
    event.src.ip = *event::IpAddress::Parse(source);
    event.dst.ip = *event::IpAddress::Parse(target);
    return event;
  }
  void Use(Enrichment enrichment) {
    current_->Set(std::make_shared<const Enrichment>(std::move(enrichment)));
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() /
      fmt::format("yagura-enrichment-{}-{}", ::getpid(),
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
  std::vector<directory::v1::Asset> assets_;
  std::vector<directory::v1::Site> sites_;
  std::vector<std::string> problems_;
  const std::shared_ptr<CurrentEnrichment> current_ = std::make_shared<CurrentEnrichment>();
  Enricher enricher_{current_};
};

TEST_F(EnrichmentTest, TheSameAddressAtTwoSitesIsTwoAssets) {
  AddAsset("acme", "pos-tokyo", "tokyo", "10.0.0.5");
  AddAsset("acme", "pos-osaka", "osaka", "10.0.0.5");
  AddAsset("acme", "lan-osaka", "osaka", "10.0.0.0/24");
  AddAsset("beta", "other", "tokyo", "10.0.0.5");
  AddAsset("acme", "web", "", "203.0.113.80");
  const auto map = AssetMap::Build(assets_, sites_);
  EXPECT_EQ(map->FindAddress("acme", "tokyo", Key("10.0.0.5")), "pos-tokyo");
  EXPECT_EQ(map->FindAddress("acme", "osaka", Key("10.0.0.5")), "pos-osaka");
  EXPECT_EQ(map->FindAddress("acme", "osaka", Key("10.0.0.6")), "lan-osaka");
  EXPECT_EQ(map->FindAddress("acme", "tokyo", Key("10.0.0.6")), "");
  EXPECT_EQ(map->FindAddress("acme", "", Key("10.0.0.5")), "");
  EXPECT_EQ(map->FindAddress("beta", "tokyo", Key("10.0.0.5")), "other");
  // A public address is the same everywhere.
  EXPECT_EQ(map->FindAddress("acme", "tokyo", Key("203.0.113.80")), "web");
  EXPECT_EQ(map->FindAddress("beta", "tokyo", Key("203.0.113.80")), "");
}

TEST_F(EnrichmentTest, APrivateAddressWithoutASiteIsOfEventsWithoutOne) {
  AddAsset("acme", "server", "", "192.168.1.1");
  const auto map = AssetMap::Build(assets_, sites_);
  EXPECT_EQ(map->FindAddress("acme", "", Key("192.168.1.1")), "server");
  EXPECT_EQ(map->FindAddress("acme", "tokyo", Key("192.168.1.1")), "");
}

TEST_F(EnrichmentTest, HostNamesLeadToAssets) {
  AddAsset("acme", "dc", "", "", "dc1.acme.example");
  AddAsset("acme", "pc", "", "", "PC7");
  const auto map = AssetMap::Build(assets_, sites_);
  EXPECT_EQ(map->FindHost("acme", "DC1.acme.example"), "dc");
  EXPECT_EQ(map->FindHost("acme", "pc7.acme.example"), "pc");
  EXPECT_EQ(map->FindHost("beta", "pc7"), "");
}

TEST_F(EnrichmentTest, InternalIsPrivateOrTheTenantsOwn) {
  AddSite("acme", "tokyo", "198.51.100.0/24");
  Enrichment enrichment;
  enrichment.assets = AssetMap::Build(assets_, sites_);
  Use(std::move(enrichment));
  auto fields = Enrich("acme", "osaka", Ends("198.51.100.7", "192.0.2.1"));
  EXPECT_EQ(fields["enriched.src.scope"], "internal");
  EXPECT_EQ(fields["enriched.dst.scope"], "external");
  fields = Enrich("beta", "osaka", Ends("198.51.100.7", "fd00::1"));
  EXPECT_EQ(fields["enriched.src.scope"], "external");
  EXPECT_EQ(fields["enriched.dst.scope"], "internal");
  for (const char* address : {"10.1.2.3", "172.31.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1",
                              "127.0.0.1", "fe80::1", "::1"}) {
    EXPECT_TRUE(IsPrivate(Key(address))) << address;
  }
  for (const char* address : {"172.32.0.1", "100.128.0.1", "11.0.0.1", "2001:db8::1"}) {
    EXPECT_FALSE(IsPrivate(Key(address))) << address;
  }
  // Broadcast and multicast are nobody's.
  EXPECT_THAT(Enrich("acme", "tokyo", Ends("0.0.0.0", "255.255.255.255")), IsEmpty());
  EXPECT_THAT(Enrich("acme", "tokyo", Ends("224.0.0.1", "ff02::1")), IsEmpty());
}

TEST_F(EnrichmentTest, GeoIpTellsOfPublicAddresses) {
  MmdbWriter countries;
  countries.Add("203.0.113.0/24", {{"country", MmdbWriter::Map{{"iso_code", "JP"}}}});
  countries.Add("2001:db8::/32", {{"registered_country", MmdbWriter::Map{{"iso_code", "DE"}}}});
  countries.Write(folder_ / "country.mmdb");
  MmdbWriter systems;
  systems.Add("203.0.113.0/25", {{"autonomous_system_number", 64500u},
                                 {"autonomous_system_organization", "Example Net"}});
  systems.Write(folder_ / "asn.mmdb");
  Enrichment enrichment;
  for (const char* name : {"country.mmdb", "asn.mmdb"}) {
    auto database = GeoDatabase::Open(folder_ / name);
    ASSERT_THAT(database, IsOk());
    enrichment.geo.push_back(*std::move(database));
  }
  Use(std::move(enrichment));
  auto fields = Enrich("acme", "hq", Ends("10.0.0.1", "203.0.113.9"));
  EXPECT_EQ(fields["enriched.dst.country"], "JP");
  EXPECT_EQ(fields["enriched.dst.as_number"], "64500");
  EXPECT_EQ(fields["enriched.dst.as_name"], "Example Net");
  EXPECT_FALSE(fields.contains("enriched.src.country"));
  fields = Enrich("acme", "hq", Ends("203.0.113.200", "2001:db8::7"));
  EXPECT_EQ(fields["enriched.src.country"], "JP");
  EXPECT_FALSE(fields.contains("enriched.src.as_number"));
  EXPECT_EQ(fields["enriched.dst.country"], "DE");
}

TEST_F(EnrichmentTest, WhatIsNoGeoIpFileIsRefused) {
  Write("broken.mmdb", "nonsense");
  EXPECT_THAT(GeoDatabase::Open(folder_ / "broken.mmdb"),
              StatusIs(absl::StatusCode::kInvalidArgument, "GEOIP_FILE"));
  EXPECT_THAT(GeoDatabase::Open(folder_ / "none.mmdb"),
              StatusIs(absl::StatusCode::kUnavailable, "GEOIP_FILE"));
}

TEST_F(EnrichmentTest, ThreatListsHoldAddressesDomainsAndHashes) {
  Write("botnet.txt", fmt::format("# feed\r\n203.0.113.5 ; seen today\n198.51.100.0/24\n"
                                  "2001:db8:bad::/48\nEvil.Example\n*.wild.example\n{}\n{}\n",
                                  kMd5, kSha256));
  Write("ignored.csv", "192.0.2.1\n");
  const auto lists = Lists();
  EXPECT_THAT(problems_, IsEmpty());
  EXPECT_EQ(lists->size(), 7u);
  EXPECT_EQ(NameOf(lists->FindAddress(Key("203.0.113.5"))), "botnet");
  EXPECT_EQ(NameOf(lists->FindAddress(Key("198.51.100.77"))), "botnet");
  EXPECT_EQ(NameOf(lists->FindAddress(Key("2001:db8:bad::1"))), "botnet");
  EXPECT_EQ(lists->FindAddress(Key("203.0.113.6")), nullptr);
  EXPECT_EQ(NameOf(lists->FindDomain("evil.example")), "botnet");
  EXPECT_EQ(NameOf(lists->FindDomain("a.b.EVIL.example.")), "botnet");
  EXPECT_EQ(NameOf(lists->FindDomain("x.wild.example")), "botnet");
  EXPECT_EQ(lists->FindDomain("notevil.example"), nullptr);
  EXPECT_EQ(lists->FindDomain("example"), nullptr);
  EXPECT_EQ(NameOf(lists->FindHash(ToUpper(kMd5))), "botnet");
  EXPECT_EQ(lists->FindHash("00000000000000000000000000000000"), nullptr);
}

TEST_F(EnrichmentTest, BadLinesAreNamedAndLeftOut) {
  Write("a.txt", "203.0.113.5\nnot an indicator\n10.0.0.0/4\n\nhttp://x\n300.1.2.3\n::/0\n");
  const auto lists = Lists();
  EXPECT_EQ(lists->size(), 1u);
  ASSERT_THAT(problems_, SizeIs(5));
  EXPECT_EQ(problems_[0], "a.txt:2: is no address, network, domain or hash");
  EXPECT_THAT(problems_[1], HasSubstr("a.txt:3: "));
  EXPECT_THAT(problems_[2], HasSubstr("a.txt:5: "));
  EXPECT_THAT(problems_[3], HasSubstr("a.txt:6: "));
  EXPECT_THAT(problems_[4], HasSubstr("a.txt:7: "));
  EXPECT_THAT(ThreatLists::Load(folder_ / "none", &problems_),
              StatusIs(absl::StatusCode::kUnavailable, "THREAT_LISTS"));
}

TEST_F(EnrichmentTest, EventsAreMarkedWithWhatIsOnALists) {
  Write("botnet.txt", "203.0.113.5\nevil.example\n");
  Write("files.txt", std::string(kMd5) + "\n" + kSha256);
  Enrichment enrichment;
  enrichment.threats = Lists();
  Use(std::move(enrichment));
  event::EventView event = Ends("10.0.0.1", "203.0.113.5");
  event.url = "https://user@cdn.evil.example:8443/x?y";
  const std::string hashes = fmt::format("MD5={},SHA256={}", ToUpper(kMd5), kSha256);
  event.fields = {{"Hashes", hashes}};
  const auto fields = Enrich("acme", "hq", event);
  EXPECT_EQ(fields.at("enriched.threat"),
            fmt::format("files:{} files:{} botnet:203.0.113.5 botnet:cdn.evil.example",
                        ToUpper(kMd5), kSha256));
  EXPECT_FALSE(Enrich("acme", "hq", Ends("10.0.0.1", "203.0.113.6")).contains("enriched.threat"));
}

TEST_F(EnrichmentTest, AnIndicatorThatIsTheBeginOfAnotherIsToldToo) {
  Write("botnet.txt", "203.0.113.4\n203.0.113.45\n");
  Enrichment enrichment;
  enrichment.threats = Lists();
  Use(std::move(enrichment));
  const auto fields = Enrich("acme", "hq", Ends("203.0.113.45", "203.0.113.4"));
  EXPECT_EQ(fields.at("enriched.threat"), "botnet:203.0.113.45 botnet:203.0.113.4");
}

TEST_F(EnrichmentTest, ALinkThatLeadsNowhereEndsNothing) {
  Write("good.txt", "203.0.113.5\n");
  std::filesystem::create_symlink("circle.txt", folder_ / "circle.txt");
  std::filesystem::create_symlink("missing", folder_ / "lost.txt");
  EXPECT_EQ(Lists()->size(), 1u);
}

// Half way through an event the enricher must not forget what the event already points to.
TEST_F(EnrichmentTest, MoreAddressesThanAreRememberedAreAllTold) {
  Write("list.txt", "45.10.0.0/16\n");
  Enrichment enrichment;
  enrichment.threats = Lists();
  Use(std::move(enrichment));
  for (int i = 0; i < 140'000; ++i) {
    event::EventView event = Ends("0.0.0.0", "0.0.0.0");
    const std::string source = fmt::format("45.10.{}.{}", i / 256 % 256, i % 256);
    const std::string target = fmt::format("192.{}.{}.{}", i / 65536, i / 256 % 256, i % 256);
    event.src.ip = *event::IpAddress::Parse(source);
    event.dst.ip = *event::IpAddress::Parse(target);
    enricher_.Enrich(fmt::format("tenant-{}", i % 3), &event);
    std::map<std::string, std::string> fields;
    for (const auto& field : event.fields) fields[std::string(field.name)] = field.value;
    ASSERT_EQ(fields["enriched.threat"], "list:" + source);
    ASSERT_FALSE(fields["enriched.src.scope"].empty());
  }
}

TEST_F(EnrichmentTest, NobodyCanPretend) {
  event::EventView event = Ends("10.0.0.1", "10.0.0.2");
  event.fields = {{"enriched.threat", "forged"}, {"action", "deny"}};
  const auto fields = Enrich("acme", "hq", event);
  EXPECT_FALSE(fields.contains("enriched.threat"));
  EXPECT_EQ(fields.at("device.enriched.threat"), "forged");
  EXPECT_EQ(fields.at("action"), "deny");
}

TEST_F(EnrichmentTest, WhatIsNewCountsFromTheNextEventOn) {
  EXPECT_FALSE(Enrich("acme", "hq", Ends("10.0.0.1", "203.0.113.5")).contains("enriched.threat"));
  Write("botnet.txt", "203.0.113.5\n");
  Enrichment enrichment;
  enrichment.threats = Lists();
  Use(std::move(enrichment));
  EXPECT_TRUE(Enrich("acme", "hq", Ends("10.0.0.1", "203.0.113.5")).contains("enriched.threat"));
}

}  // namespace
}  // namespace yagura::ingestion
