#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(PaloAltoTest, AnEndedSessionHasBothEndsBeforeAndAfterTranslation) {
  const std::string line =
      "<14>Nov 21 09:15:42 pa1 1,2026/11/21 09:15:42,007200001056,TRAFFIC,end,2560,2026/11/21 "
      "09:15:42,10.1.0.5,198.51.100.7,203.0.113.5,198.51.100.7,out-web,corp\\alice,,ssl,vsys1,"
      "trust,"
      "untrust,ethernet1/2,ethernet1/1,fwd,2026/11/21 "
      "09:15:42,36459,1,39681,443,32326,443,0x400053,"
      "tcp,allow,43135,24629,18506,189,2026/11/21 09:10:31,301,business,0,135,0x0,Japan,United "
      "States,0,90,99,tcp-fin";
  EXPECT_EQ(CoreOf(line),
            "paloalto.panos category=traffic severity=INFORMATIONAL action=ENDED "
            "src=[10.1.0.5:39681 nat 203.0.113.5:32326 if ethernet1/2 zone trust country Japan] "
            "dst=[198.51.100.7:443 nat 198.51.100.7:443 if ethernet1/1 zone untrust country United "
            "States] protocol=tcp app=ssl out=24629 in=18506 packets_out=90 packets_in=99 "
            "duration=301000ms rule=out-web user=corp\\alice session=36459 context=vsys1 host=pa1 "
            "id=end at 2026-11-21T00:15:42Z");
  const auto event = ParseLine(line);
  EXPECT_EQ(FieldOf(event, "session_end_reason"), "tcp-fin");
  EXPECT_EQ(FieldOf(event, "category"), "business");
  EXPECT_EQ(FieldOf(event, "__csv"), "(absent)");
}

TEST(PaloAltoTest, ABlockedAttackHasItsSignature) {
  const std::string line =
      "<12>Nov 21 09:15:42 pa1 1,2026/11/21 09:15:42,007200001056,THREAT,vulnerability,2560,"
      "2026/11/21 "
      "09:15:42,203.0.113.9,10.1.0.8,0.0.0.0,0.0.0.0,in-web,,,web-browsing,vsys1,untrust,"
      "dmz,ethernet1/1,ethernet1/3,fwd,2026/11/21 09:15:42,77,1,50000,80,0,0,0x0,tcp,reset-both,"
      "\"a.example/x?y=\"\"1\"\",2\",Some RCE "
      "(x)(91991),code-execution,critical,client-to-server,1";
  EXPECT_EQ(
      CoreOf(line),
      "paloalto.panos category=threat severity=HIGH action=BLOCKED "
      "src=[203.0.113.9:50000 if ethernet1/1 zone untrust] dst=[10.1.0.8:80 if ethernet1/3 zone "
      "dmz] protocol=tcp app=web-browsing rule=in-web signature_id=91991 signature=Some RCE (x) "
      "url=a.example/x?y=\"1\",2 session=77 context=vsys1 host=pa1 id=vulnerability at "
      "2026-11-21T00:15:42Z");
}

TEST(PaloAltoTest, AnAllowedSessionThatBeginsIsStarted) {
  EXPECT_EQ(
      CoreOf("<14>Nov 21 09:15:42 pa1 1,2026/11/21 09:15:42,0072,TRAFFIC,start,2560,2026/11/21 "
             "09:15:41,10.1.0.5,198.51.100.7,0.0.0.0,0.0.0.0,dns,,,dns,vsys2,trust,untrust,a,b,"
             "fwd,2026/11/21 09:15:42,5,1,40000,53,0,0,0x0,udp,allow,80,80,0,1"),
      "paloalto.panos category=traffic severity=INFORMATIONAL action=STARTED "
      "src=[10.1.0.5:40000 if a zone trust] dst=[198.51.100.7:53 if b zone untrust] protocol=udp "
      "app=dns out=80 rule=dns session=5 context=vsys2 host=pa1 id=start at "
      "2026-11-21T00:15:41Z");
}

TEST(PaloAltoTest, ADroppedSessionIsBlocked) {
  EXPECT_EQ(
      CoreOf("<14>Nov 21 09:15:42 pa1 1,2026/11/21 09:15:42,0072,TRAFFIC,drop,2560,2026/11/21 "
             "09:15:42,203.0.113.9,10.1.0.8,0.0.0.0,0.0.0.0,deny-in,,,not-applicable,vsys1,"
             "untrust,dmz,a,,fwd,2026/11/21 09:15:42,0,1,50000,23,0,0,0x0,tcp,drop,60,60,0,1"),
      "paloalto.panos category=traffic severity=INFORMATIONAL action=BLOCKED "
      "src=[203.0.113.9:50000 if a zone untrust] dst=[10.1.0.8:23 zone dmz] protocol=tcp "
      "app=not-applicable out=60 rule=deny-in session=0 context=vsys1 host=pa1 id=drop at "
      "2026-11-21T00:15:42Z");
}

TEST(PaloAltoTest, AChangeOfTheConfigurationNamesWhoMadeItAndFromWhere) {
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 pa1 1,2026/11/21 09:15:42,0072,CONFIG,0,2560,2026/11/21 "
                   "09:15:42,10.9.0.4,vsys1,edit,admin,Web,Succeeded, rulebase security,55,0x0"),
            "paloalto.panos category=config severity=INFORMATIONAL action=CHANGED src=[10.9.0.4] "
            "user=admin context=vsys1 host=pa1 id=0 at 2026-11-21T00:15:42Z");
}

TEST(PaloAltoTest, ASystemMessageHasItsText) {
  const auto event = ParseLine(
      "<14>Nov 21 09:15:42 pa1 1,2026/11/21 09:15:42,0072,SYSTEM,auth,2560,2026/11/21 "
      "09:15:42,,auth-fail,admin,0,0,general,medium,\"failed authentication for user 'admin', "
      "reason: bad\",1,0x0");
  EXPECT_EQ(event.message(), "failed authentication for user 'admin', reason: bad");
  EXPECT_EQ(event.action(), event::v1::LOGON_FAILED);
  EXPECT_EQ(event.severity(), event::v1::MEDIUM);
  EXPECT_EQ(event.vendor_event_id(), "auth-fail");
}

TEST(PaloAltoTest, ALogOnNamesWhoAndFromWhere) {
  const auto line = [](const std::string& id, const std::string& text) {
    return "<14>Nov 21 09:15:42 pa1 1,2026/11/21 09:15:42,0072,SYSTEM,auth,2560,2026/11/21 "
           "09:15:42,," +
           id + ",local,0,0,general,medium,\"" + text + "\",1,0x0";
  };
  const auto failed = ParseLine(
      line("auth-fail",
           "failed authentication for user 'eve'.  Reason: Invalid username/password.  auth "
           "profile 'local', vsys 'shared', From: 192.0.2.66."));
  EXPECT_EQ(failed.action(), event::v1::LOGON_FAILED);
  EXPECT_EQ(failed.user(), "eve");
  EXPECT_EQ(FieldOf(failed, "auth_from"), "192.0.2.66");
  EXPECT_EQ(failed.src().ip(), std::string("\xc0\x00\x02\x42", 4));
  const auto good = ParseLine(line(
      "auth-success", "authenticated for user 'eve'.  auth profile 'local', From: 192.0.2.66."));
  EXPECT_EQ(good.action(), event::v1::LOGON);
  EXPECT_EQ(good.user(), "eve");
  EXPECT_EQ(good.src().ip(), std::string("\xc0\x00\x02\x42", 4));
}

}  // namespace
}  // namespace yagura::ingestion
