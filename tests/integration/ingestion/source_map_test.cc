#include "services/ingestion/domain/source_map.h"

#include "gtest/gtest.h"

#include "services/ingestion/domain/quarantine.h"
#include "yagura/directory/v1/source.pb.h"

namespace yagura::ingestion {
namespace {

namespace dv1 = directory::v1;

dv1::Source Source(std::string name) {
  dv1::Source source;
  source.set_name(std::move(name));
  return source;
}

Sender From(const char* address, const char* listener = "syslog_udp") {
  return {listener, *event::IpAddress::Parse(address), {}};
}

std::string Tenant(const SourceTarget* target) { return target == nullptr ? "-" : target->name; }

TEST(SourceMapTest, TheMostSpecificSourceWins) {
  std::vector<dv1::Source> sources;
  sources.push_back(Source("tenants/a/sources/listener"));
  sources.back().mutable_match()->set_listener("syslog_udp");
  sources.push_back(Source("tenants/b/sources/wide"));
  sources.back().mutable_match()->set_cidr("10.0.0.0/8");
  sources.push_back(Source("tenants/c/sources/narrow"));
  sources.back().mutable_match()->set_cidr("10.1.2.0/23");
  sources.push_back(Source("tenants/d/sources/box"));
  sources.back().mutable_match()->set_device_serial("SN1");
  sources.push_back(Source("tenants/e/sources/vdom"));
  sources.back().mutable_match()->set_device_serial("SN1");
  sources.back().mutable_match()->set_virtual_context("cust-e");
  sources.push_back(Source("tenants/f/sources/key"));
  sources.back().mutable_match()->set_credential("tenants/f/apiKeys/k");
  const auto map = SourceMap::Build(sources, {}, nullptr);
  ASSERT_EQ(map->size(), 6u);
  EXPECT_EQ(Tenant(map->ForSender(From("192.0.2.1")).Find("", "")), "tenants/a/sources/listener");
  EXPECT_EQ(Tenant(map->ForSender(From("10.9.9.9")).Find("", "")), "tenants/b/sources/wide");
  EXPECT_EQ(Tenant(map->ForSender(From("10.1.3.9")).Find("", "")), "tenants/c/sources/narrow");
  EXPECT_EQ(Tenant(map->ForSender(From("10.1.4.9")).Find("", "")), "tenants/b/sources/wide");
  EXPECT_EQ(Tenant(map->ForSender(From("10.1.3.9")).Find("SN1", "root")), "tenants/d/sources/box");
  EXPECT_EQ(Tenant(map->ForSender(From("10.1.3.9")).Find("SN1", "cust-e")),
            "tenants/e/sources/vdom");
  EXPECT_EQ(Tenant(map->ForSender({"push", {}, "tenants/f/apiKeys/k"}).Find("SN1", "cust-e")),
            "tenants/f/sources/key");
  EXPECT_EQ(Tenant(map->ForSender(From("192.0.2.1", "other")).Find("SN2", "")), "-");
  EXPECT_EQ(Tenant(map->ForSender(From("10.1.3.9")).Find("SN1", "cust-e", "b")),
            "tenants/b/sources/wide");
}

TEST(SourceMapTest, AmongEqualsTheLowerName) {
  std::vector<dv1::Source> sources{Source("tenants/b/sources/x"), Source("tenants/a/sources/x")};
  for (dv1::Source& source : sources) source.mutable_match()->set_cidr("2001:db8::/32");
  const auto map = SourceMap::Build(sources, {}, nullptr);
  EXPECT_EQ(Tenant(map->ForSender(From("2001:db8::1")).Find("", "")), "tenants/a/sources/x");
  EXPECT_EQ(Tenant(map->ForSender(From("2001:db9::1")).Find("", "")), "-");
}

TEST(SourceMapTest, WhatCannotBeUnderstoodIsReported) {
  std::vector<dv1::Source> sources{Source("tenants/a/sources/none"), Source("bad"),
                                   Source("tenants/a/sources/net"), Source("tenants/a/sources/off"),
                                   Source("tenants/a/sources/zone")};
  sources[2].mutable_match()->set_cidr("10.0.0.0/33");
  sources[3].set_disabled(true);
  sources[4].mutable_match()->set_cidr("10.0.0.0/8");
  sources[4].set_time_zone("Mars/Olympus");
  sources[4].set_parser("nosuch");
  std::vector<std::string> problems;
  const auto map = SourceMap::Build(sources, {}, &problems);
  EXPECT_EQ(map->size(), 1u);
  EXPECT_EQ(problems.size(), 5u);
}

TEST(SourceMapTest, ZonesFallBackToSiteAndTenant) {
  std::vector<dv1::Source> sources{Source("tenants/a/sources/x"), Source("tenants/a/sources/y")};
  sources[0].mutable_match()->set_cidr("10.0.0.0/8");
  sources[0].set_site("hq");
  sources[1].mutable_match()->set_cidr("192.0.2.0/24");
  FallbackZones zones;
  zones.by_site["tenants/a/sites/hq"] = "Asia/Tokyo";
  zones.by_tenant["a"] = "Europe/Berlin";
  const auto map = SourceMap::Build(sources, zones, nullptr);
  EXPECT_EQ(map->ForSender(From("10.1.1.1")).Find("", "")->zone,
            SourceZone::Find("Asia/Tokyo").value());
  EXPECT_EQ(map->ForSender(From("192.0.2.1")).Find("", "")->zone,
            SourceZone::Find("Europe/Berlin").value());
}

TEST(QuarantineTest, DevicesBehindOneRelayAreToldApartUntilTheyAreAssigned) {
  Quarantine quarantine;
  ParsedLine line;
  line.event.raw = std::string_view("raw line");
  for (const std::string_view serial : {"SN1", "SN2", "SN2"}) {
    line.device_serial = serial;
    quarantine.Note(From("10.0.0.1"), line, false, TimePoint(std::chrono::seconds(1000)));
  }
  const auto list = quarantine.List(*SourceMap::Empty());
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].device_serial(), "SN2");
  EXPECT_EQ(list[1].device_serial(), "SN1");

  std::vector<dv1::Source> sources{Source("tenants/a/sources/box")};
  sources.back().mutable_match()->set_device_serial("SN2");
  const auto rest = quarantine.List(*SourceMap::Build(sources, {}, nullptr));
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].device_serial(), "SN1");
}

TEST(QuarantineTest, ASenderThatInventsDevicesPushesNobodyOut) {
  Quarantine quarantine;
  ParsedLine line;
  line.event.raw = std::string_view("raw line");
  quarantine.Note(From("10.0.0.1"), line, false, TimePoint(std::chrono::seconds(1000)));
  for (int i = 0; i < 5000; ++i) {
    const std::string serial = "SN" + std::to_string(i) + std::string(10'000, 'x');
    line.device_serial = serial;
    quarantine.Note(From("10.0.0.9"), line, false, TimePoint(std::chrono::seconds(2000 + i)));
  }
  const auto list = quarantine.List(*SourceMap::Empty());
  ASSERT_EQ(list.size(), Quarantine::kMaxDevices + 2) << "200 devices, the rest, and the other";
  EXPECT_EQ(list[0].line_count(), 4800u);
  EXPECT_EQ(list[0].device_serial(), "");
  for (const auto& shown : list) EXPECT_LE(shown.device_serial().size(), Quarantine::kMaxTextBytes);
}

TEST(QuarantineTest, IsBoundedAndKeepsTheRecentSenders) {
  Quarantine quarantine;
  ParsedLine line;
  line.event.raw = std::string_view("raw line");
  line.device_serial = "SN9";
  for (int i = 0; i < 1500; ++i) {
    const std::string address = "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    quarantine.Note(From(address.c_str()), line, false, TimePoint(std::chrono::seconds(1000 + i)));
  }
  for (int i = 0; i < 7; ++i) {
    quarantine.Note(From("10.0.5.249"), line, false, TimePoint(std::chrono::seconds(5000 + i)));
  }
  const auto list = quarantine.List(*SourceMap::Empty());
  ASSERT_EQ(list.size(), Quarantine::kMaxSenders);
  EXPECT_EQ(list[0].address(), "10.0.5.249");
  EXPECT_EQ(list[0].line_count(), 8u);
  EXPECT_EQ(list[0].byte_count(), 64u);
  EXPECT_EQ(list[0].samples_size(), 5);
  EXPECT_EQ(list[0].device_serial(), "SN9");
}

}  // namespace
}  // namespace yagura::ingestion
