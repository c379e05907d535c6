#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(CefTest, EscapesAreRead) {
  EXPECT_EQ(
      CoreOf("<14>Nov 21 09:15:42 host CEF:0|Example Corp|Box X|1.0|100|Bad \\| "
             "thing|8|src=10.1.0.5 dst=203.0.113.7 spt=1232 dpt=80 act=blocked msg=It said a\\=b "
             "and more request=http://a.example/?x\\=1 suser=bob rt=1795220142000"),
      "example_corp.box_x severity=HIGH action=BLOCKED src=[10.1.0.5:1232] "
      "dst=[203.0.113.7:80] user=bob url=http://a.example/?x=1 host=host id=100 at "
      "2026-11-21T00:15:42Z");
}

TEST(CefTest, ADeviceTellsItsOwnTime) {
  EXPECT_EQ(
      CoreOf("CEF:0|Trend Example|DS|20|6001|Deny|Low|rt=Nov 21 2026 09:15:42 src=203.0.113.9 "
             "smac=00:00:5E:00:53:01 spt=40000 dst=10.1.0.8 dpt=22 proto=TCP in=60 out=0 "
             "dvchost=server8 deviceDirection=0 cs1=x cs1Label=Tag"),
      "trend_example.ds severity=LOW src=[203.0.113.9:40000 mac 00:00:5e:00:53:01] "
      "dst=[10.1.0.8:22] protocol=tcp in=60 direction=inbound host=server8 id=6001 at "
      "2026-11-21T00:15:42Z");
}

TEST(CefTest, ALineWithoutFieldsOfTheHeaderIsRead) {
  EXPECT_EQ(
      CoreOf("<14>1 2026-11-21T00:15:42Z gw - - - - CEF:1|V|P|1|7|Login failed|10|suser=mallory "
             "src=203.0.113.9 outcome=failure"),
      "v.p severity=CRITICAL src=[203.0.113.9] user=mallory host=gw id=7 at "
      "2026-11-21T00:15:42Z");
}

TEST(CefTest, ASpaceAfterTheColonIsAllowed) {
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 host CEF: 0|V|P.Q|1|7|name only|Medium|"),
            "v.p.q severity=MEDIUM host=host id=7 at 2026-11-21T00:15:42Z");
}

TEST(CefTest, ValuesHaveSpaces) {
  EXPECT_EQ(
      CoreOf("<14>Nov 21 09:15:42 host CEF:0|V|P|1|9|path|3|filePath=C:\\\\temp\\\\a b.exe fname=a "
             "b.exe dhost=server.example cat=malware"),
      "v.p category=malware severity=LOW dst=[host server.example] host=host id=9 at "
      "2026-11-21T00:15:42Z");
}

TEST(CefTest, ALinkInAValueIsNoName) {
  const auto event = ParseLine(
      "<134>Nov 21 09:15:42 waf1 CEF:0|Example Corp|WAF|1|9|Header|5|cs8=Host, "
      "http://www.example.com/x.php?action=down, Mozilla (a=b) act=blocked");
  EXPECT_EQ(FieldOf(event, "cs8"), "Host, http://www.example.com/x.php?action=down, Mozilla (a=b)");
  EXPECT_EQ(event.action(), event::v1::BLOCKED);
}

TEST(CefTest, MakersHaveWordsOfTheirOwnForActions) {
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 host CEF:0|Trend Example|DS|20|1001111|Test "
                   "rule|3|act=IDS:Reset src=203.0.113.9 spt=40000 dst=10.1.0.8 dpt=80 "
                   "proto=TCP"),
            "trend_example.ds severity=LOW action=DETECTED src=[203.0.113.9:40000] "
            "dst=[10.1.0.8:80] protocol=tcp host=host id=1001111 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 host CEF:0|Vault "
                   "Example|Vault|12|7|Logon|5|act=\"Logon\" suser=alice src=10.1.0.5"),
            "vault_example.vault severity=MEDIUM action=LOGON src=[10.1.0.5] user=alice "
            "host=host id=7 at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
