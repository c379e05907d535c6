// Products sold in Japan: i-FILTER, SKYSEA Client View, FITELnet; in UTF-8 and in code page 932.
#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

namespace v1 = event::v1;

v1::Event ParseShiftJis(std::string_view line) {
  LinePipeline pipeline(ShippedParsers());
  LineContext context;
  context.receive_time = At("2026-11-21T00:15:45Z");
  context.zone = SourceZone::Find("Asia/Tokyo").value();
  context.charset = Charset::kShiftJis;
  v1::Event event;
  event::ToProto(pipeline.Process(line, context).event, &event);
  return event;
}

constexpr std::string_view kBlocked =
    "4872 1000/01/ - 198.51.100.7:443 10.1.0.1 10.1.0.5 PC5 alice [21/Nov/2026:09:15:40 +0900] 503 "
    "0 1207 block 63 87 87/127/151 -1 0 1518 0 group01 - 0 - \"GET https://www.example.com/sw.js "
    "HTTP/1.1\" - Chrome text%2Fhtml%3B+charset%3Dutf-8 A667FEFF";

TEST(IfilterTest, ABlockedAccess) {
  const v1::Event event = ParseLine("Nov 21 09:15:42 " + std::string(kBlocked));
  EXPECT_EQ(CoreText(event),
            "daj.ifilter category=proxy action=BLOCKED src=[10.1.0.5 host PC5] dst=[host "
            "198.51.100.7:443] app=http in=1207 rule=63 user=alice "
            "url=https://www.example.com/sw.js host=4872 id=503 at 2026-11-21T00:15:40Z");
  EXPECT_EQ(FieldOf(event, "categories"), "87/127/151");
  EXPECT_EQ(FieldOf(event, "group"), "group01");
  EXPECT_EQ(FieldOf(event, "content_type"), "text%2Fhtml%3B+charset%3Dutf-8");
  EXPECT_EQ(FieldOf(event, "trailing_id"), "A667FEFF");
}

TEST(IfilterTest, ThroughSyslogTheHostIsItsOwn) {
  const v1::Event event =
      ParseLine("<134>Nov 21 09:15:43 proxy1 if_proxy: Nov 21 09:15:42 " + std::string(kBlocked));
  EXPECT_EQ(event.product(), "daj.ifilter");
  EXPECT_EQ(event.host(), "proxy1");
  EXPECT_EQ(event.user(), "alice");
  EXPECT_EQ(EventTime(event), "2026-11-21T00:15:40Z");
}

TEST(IfilterTest, AnAccessThatWentThrough) {
  EXPECT_EQ(CoreOf("Nov 21 09:15:42 4872 1000/01/ - - 10.1.0.5 10.1.0.5 - - [21/Nov/2026:09:15:40 "
                   "+0900] 200 0 5120 pass 0 12 12 -1 0 300 0 group02 - 0 - \"GET "
                   "http://www.example.com/ HTTP/1.1\" - curl text%2Fhtml A667FEF0"),
            "daj.ifilter category=proxy action=ALLOWED src=[10.1.0.5] app=http in=5120 rule=0 "
            "url=http://www.example.com/ host=4872 id=200 at 2026-11-21T00:15:40Z");
}

TEST(IfilterTest, AConnectHasNoPath) {
  EXPECT_EQ(CoreOf("Nov 21 09:15:42 4872 940/02/ 10.1.0.9 - 10.1.0.5 10.1.0.5 - bob "
                   "[21/Nov/2026:09:15:40 +0900] 200 0 0 pass 0 12 12 -1 0 300 0 group02 - 0 - "
                   "\"CONNECT www.example.com:443 HTTP/1.1\" - - - A667FEF0"),
            "daj.ifilter category=proxy action=ALLOWED src=[10.1.0.5] app=http rule=0 user=bob "
            "url=www.example.com:443 host=4872 id=200 at 2026-11-21T00:15:40Z");
}

TEST(IfilterTest, TheBlockLogNamesAVirus) {
  const v1::Event event = ParseLine(
      "4582 10.1.0.5 alice group01 7 21/Nov/2026:09:15:40 +0900 http://www.example.com/x block 43 "
      "3 "
      "99 28 0 -1 0 EICAR-Test-File");
  EXPECT_EQ(CoreText(event),
            "daj.ifilter category=proxy action=BLOCKED src=[10.1.0.5] app=http rule=43 "
            "signature=EICAR-Test-File user=alice url=http://www.example.com/x at "
            "2026-11-21T00:15:40Z");
  EXPECT_EQ(FieldOf(event, "group"), "group01");
}

TEST(SkyseaTest, AWebAccess) {
  const v1::Event event = ParseLine(
      "mgr1,12,PC005,10.1.0.5,1,tanaka,田中(総務部),2026/11/21 "
      "09:15:42,Webアクセス,,,https://www.example.com/x?q=1,,,,,,閲覧");
  EXPECT_EQ(CoreText(event),
            "sky.skysea_client_view category=webアクセス src=[10.1.0.5 host PC005] user=tanaka "
            "url=https://www.example.com/x?q=1 session=1 host=mgr1 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(FieldOf(event, "user_name"), "田中(総務部)");
  EXPECT_EQ(FieldOf(event, "column_18"), "閲覧");
}

TEST(SkyseaTest, CodePage932ReadsTheSame) {
  // "mgr1,12,PC005,10.1.0.5,1,tanaka,田中,2026/11/21
  // 09:15:42,Webアクセス,,,https://www.example.com/"
  const std::string line =
      "mgr1,12,PC005,10.1.0.5,1,tanaka,\x93\x63\x92\x86,2026/11/21 "
      "09:15:42,Web\x83\x41\x83\x4e\x83\x5a\x83\x58,,,https://www.example.com/";
  const v1::Event event = ParseShiftJis(line);
  EXPECT_EQ(event.raw(), line);
  EXPECT_EQ(FieldOf(event, "user_name"), "田中");
  EXPECT_EQ(CoreText(event),
            "sky.skysea_client_view category=webアクセス src=[10.1.0.5 host PC005] user=tanaka "
            "url=https://www.example.com/ session=1 host=mgr1 at 2026-11-21T00:15:42Z");
}

TEST(SkyseaTest, AnOperation) {
  EXPECT_EQ(CoreOf("mgr1,12,PC005,10.1.0.5,1,tanaka,田中,2026/11/21 "
                   "9:15:42,クライアント操作,,,excel.exe,見積.xlsx - Excel"),
            "sky.skysea_client_view category=クライアント操作 src=[10.1.0.5 host PC005] "
            "app=excel.exe user=tanaka session=1 host=mgr1 at 2026-11-21T00:15:42Z");
}

TEST(SkyseaTest, ThroughSyslogWithQuotes) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:44 mgr1 \"mgr1\",\"12\",\"PC005\",\"10.1.0.5\",\"1\","
                   "\"tanaka\",\"田中\",\"2026/11/21 09:15:42\",\"アプリケーション\",\"a,b\""),
            "sky.skysea_client_view category=アプリケーション severity=INFORMATIONAL src=[10.1.0.5 "
            "host PC005] user=tanaka session=1 host=mgr1 at 2026-11-21T00:15:42Z");
}

TEST(SkyseaTest, AFileAccess) {
  const v1::Event event = ParseLine(
      "mgr1,12,PC005,10.1.0.5,1,,,2026/11/21 "
      "09:15:42,ファイルアクセス,,,,,,,,suzuki,削除,,\\\\fs1\\share\\a.xlsx");
  EXPECT_EQ(event.user(), "suzuki");
  EXPECT_EQ(event.message(), "削除 \\\\fs1\\share\\a.xlsx");
}

TEST(FitelnetTest, WhatStandsInTheUsualWaysIsRead) {
  EXPECT_EQ(CoreText(ParseLine("<134>Nov 21 09:15:42 rt1 filter: deny tcp 203.0.113.9:40222 -> "
                               "198.51.100.7:22 action=discard",
                               "2026-11-21T00:15:45Z", "Asia/Tokyo", "fitelnet")),
            "furukawa.fitelnet severity=INFORMATIONAL action=BLOCKED src=[203.0.113.9:40222] "
            "dst=[198.51.100.7:22] protocol=tcp program=filter host=rt1 at 2026-11-21T00:15:42Z");
}

TEST(FitelnetTest, KnownByItsName) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rt1 FITELnet-F220: login failed user=admin from "
                   "203.0.113.9"),
            "furukawa.fitelnet severity=INFORMATIONAL action=LOGON_FAILED src=[203.0.113.9] "
            "user=admin program=FITELnet-F220 host=rt1 at 2026-11-21T00:15:42Z");
}

TEST(FitelnetTest, AnyOtherLineKeepsItsTextAndPairs) {
  const v1::Event event = ParseLine("<134>Nov 21 09:15:42 rt1 ike: tunnel 3 up peer=203.0.113.9",
                                    "2026-11-21T00:15:45Z", "Asia/Tokyo", "fitelnet");
  EXPECT_EQ(event.message(), "tunnel 3 up peer=203.0.113.9");
  EXPECT_EQ(FieldOf(event, "peer"), "203.0.113.9");
}

}  // namespace
}  // namespace yagura::ingestion
