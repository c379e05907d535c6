#include "common/filter/filter.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "yagura/detection/v1/finding.pb.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::filter {
namespace {

using event::v1::Event;
using ::testing::HasSubstr;

const TimePoint kNow = *ParseTime("2026-11-22T12:00:00Z");

Event Login() {
  Event event;
  event.set_device("fw-1");
  event.set_severity(event::v1::HIGH);
  event.set_action(event::v1::LOGON_FAILED);
  event.mutable_src()->set_ip(std::string("\x0a\x01\x02\x03", 4));
  event.mutable_src()->set_port(51000);
  event.mutable_dst()->set_ip(std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16));
  event.set_user("Admin");
  event.set_bytes_out(18446744073709551615ULL);
  event.set_raw("date=2026-11-22 user=\"Admin\" msg=\"Login FAILED 100%\"");
  *event.mutable_event_time() = ToProto(*ParseTime("2026-11-22T11:30:00Z"));
  *event.mutable_duration() = ToProtoDuration(std::chrono::milliseconds(1500));
  event.add_flaws(event::v1::CLOCK_ERROR);
  const auto add = [&event](std::string_view name, std::string_view value) {
    auto* field = event.add_fields();
    field->set_name(std::string(name));
    field->set_value(std::string(value));
  };
  add("logdesc", "Admin login failed");
  add("count", "12");
  add("winlog.event_data.Image", "C:\\Windows\\cmd.exe");
  add("logdesc", "second");
  add("odd name", "x");
  return event;
}

bool Matches(std::string_view text, const Event& event = Login()) {
  const auto filter = Filter::Parse(text, EventSchema(), kNow);
  EXPECT_TRUE(filter.ok()) << text << ": " << filter.status();
  return filter.ok() && filter->Matches(event);
}

std::string ErrorOf(std::string_view text, const Schema& schema = EventSchema()) {
  const auto filter = Filter::Parse(text, schema);
  EXPECT_FALSE(filter.ok()) << text;
  return filter.ok() ? "" : std::string(Message(filter.status()));
}

TEST(Filter, EmptyTextMatchesEverything) {
  EXPECT_TRUE(Matches(""));
  EXPECT_TRUE(Matches("  \t "));
  EXPECT_TRUE(Filter().Matches(Login()));
}

TEST(Filter, ComparesTextExactlyAndWithWildcards) {
  EXPECT_TRUE(Matches("user = Admin"));
  EXPECT_TRUE(Matches("user=\"Admin\""));
  EXPECT_TRUE(Matches("user = 'Admin'"));
  EXPECT_FALSE(Matches("user = admin"));
  EXPECT_TRUE(Matches("user != admin"));
  EXPECT_TRUE(Matches("user = A*n"));
  EXPECT_TRUE(Matches("user = *dm*"));
  EXPECT_FALSE(Matches("user = Ad*x*n"));
  EXPECT_FALSE(Matches("user = Admin*n"));
  EXPECT_FALSE(Matches("user = A\\*n"));
  EXPECT_TRUE(Matches("user < B"));
  EXPECT_FALSE(Matches("user > B"));
  EXPECT_TRUE(Matches("user:DMI"));
  EXPECT_TRUE(Matches("raw:\"failed 100%\""));
}

TEST(Filter, HasFindsPresence) {
  EXPECT_TRUE(Matches("user:*"));
  EXPECT_FALSE(Matches("url:*"));
  EXPECT_TRUE(Matches("src:*"));
  EXPECT_TRUE(Matches("event_time:*"));
  EXPECT_FALSE(Matches("receive_time:*"));
  EXPECT_TRUE(Matches("flaws:*"));
  EXPECT_TRUE(Matches("fields:logdesc"));
  EXPECT_FALSE(Matches("fields:nothing"));
  EXPECT_TRUE(Matches("fields:*"));
  EXPECT_FALSE(Matches("fields:*", Event()));
}

TEST(Filter, OrBindsTighterThanAnd) {
  // user = x AND (device = fw-1 OR device = fw-2)
  EXPECT_FALSE(Matches("user = x device = fw-1 OR device = fw-2"));
  EXPECT_FALSE(Matches("user = x AND device = fw-1 OR device = fw-2"));
  EXPECT_TRUE(Matches("(user = x AND device = fw-2) OR device = fw-1"));
  EXPECT_TRUE(Matches("device = fw-2 OR device = fw-1 user = Admin"));
}

TEST(Filter, NegatesOneTerm) {
  EXPECT_FALSE(Matches("NOT user = Admin"));
  EXPECT_FALSE(Matches("-user = Admin"));
  EXPECT_TRUE(Matches("NOT user = x device = fw-1"));
  EXPECT_TRUE(Matches("NOT NOT user = Admin"));
  EXPECT_TRUE(Matches("-(user = x OR user = y)"));
  EXPECT_FALSE(Matches("NOT(user = Admin)"));
}

TEST(Filter, DistributesOverValuesInParentheses) {
  EXPECT_TRUE(Matches("severity = (MEDIUM OR HIGH)"));
  EXPECT_FALSE(Matches("severity = (MEDIUM OR LOW)"));
  EXPECT_TRUE(Matches("user:(ad AND NOT root)"));
  EXPECT_TRUE(Matches("user:((ad OR x) min)"));
}

TEST(Filter, ComparesAddresses) {
  EXPECT_TRUE(Matches("src.ip = 10.1.2.3"));
  EXPECT_TRUE(Matches("src.ip = 10.0.0.0/8"));
  EXPECT_TRUE(Matches("src.ip = 10.1.2.0/29"));
  EXPECT_FALSE(Matches("src.ip = 10.1.2.4/31"));
  EXPECT_TRUE(Matches("src.ip:10.1.2.0-10.1.2.3"));
  EXPECT_FALSE(Matches("src.ip = 10.1.2.4-10.1.2.9"));
  EXPECT_TRUE(Matches("src.ip = ::ffff:10.1.2.3"));
  EXPECT_TRUE(Matches("dst.ip = 2001:db8::/32"));
  EXPECT_TRUE(Matches("dst.ip = \"2001:db8::1\""));
  EXPECT_TRUE(Matches("src.ip > 10.1.2.2"));
  EXPECT_FALSE(Matches("src.translated_ip < 255.255.255.255"));
  EXPECT_FALSE(Matches("src.translated_ip = ::/0"));
  EXPECT_TRUE(Matches("src.translated_ip != ::/0"));
}

TEST(Filter, ComparesNumbersEnumsTimesAndDurations) {
  EXPECT_TRUE(Matches("src.port >= 51000"));
  EXPECT_FALSE(Matches("src.port < 51000"));
  EXPECT_TRUE(Matches("dst.port = 0"));
  EXPECT_TRUE(Matches("bytes_out = 18446744073709551615"));
  EXPECT_TRUE(Matches("severity >= medium"));
  EXPECT_FALSE(Matches("severity > HIGH"));
  EXPECT_TRUE(Matches("action = LOGON_FAILED"));
  EXPECT_TRUE(Matches("event_time > now-1h"));
  EXPECT_FALSE(Matches("event_time > now-29m"));
  EXPECT_TRUE(Matches("event_time >= 2026-11-22"));
  EXPECT_TRUE(Matches("event_time = 2026-11-22T12:30:00+01:00"));
  EXPECT_FALSE(Matches("receive_time < now"));
  EXPECT_TRUE(Matches("receive_time != 2026-11-22"));
  EXPECT_TRUE(Matches("duration = 1.5s"));
  EXPECT_TRUE(Matches("duration > 1s400ms"));
  EXPECT_TRUE(Matches("flaws:CLOCK_ERROR"));
  EXPECT_FALSE(Matches("flaws:TRUNCATED"));
}

TEST(Filter, ReachesOriginalFields) {
  EXPECT_TRUE(Matches("fields.logdesc = \"Admin login failed\""));
  EXPECT_FALSE(Matches("fields.logdesc = second"));
  EXPECT_TRUE(Matches("fields.logdesc:LOGIN"));
  EXPECT_TRUE(Matches("fields.winlog.event_data.Image = C:\\Windows\\\\*.exe"));
  EXPECT_TRUE(Matches("fields.\"odd name\" = x"));
  EXPECT_TRUE(Matches("fields.count > 9"));
  EXPECT_FALSE(Matches("fields.count > 12"));
  EXPECT_FALSE(Matches("fields.logdesc > 0"));
  EXPECT_TRUE(Matches("fields.nothing = \"\""));
  EXPECT_TRUE(Matches("fields.nothing != x"));
}

TEST(Filter, BareWordsSearchTheRawLine) {
  EXPECT_TRUE(Matches("failed admin"));
  EXPECT_FALSE(Matches("failed root"));
  EXPECT_TRUE(Matches("\"login failed\""));
  EXPECT_FALSE(Matches("\"failed login\""));
  EXPECT_TRUE(Matches("log*100"));
  EXPECT_TRUE(Matches("-root"));
  EXPECT_TRUE(Matches("Failed user = Admin"));
}

TEST(Filter, BareWordsFindWhatJsonEscapesAndWhatIsWide) {
  event::v1::Event event;
  event.set_raw(R"({"msg":"\u6771\u4eac \ud83d\ude00 Server","path":"C:\\users\\udon"})");
  const auto finds = [&event](std::string_view text) {
    const auto filter = Filter::Parse(text, EventSchema());
    EXPECT_TRUE(filter.ok()) << filter.status();
    return filter.ok() && filter->Matches(event);
  };
  EXPECT_TRUE(finds("東京"));
  EXPECT_TRUE(finds("京*server"));
  EXPECT_TRUE(finds("😀"));
  EXPECT_TRUE(finds("udon"));
  EXPECT_FALSE(finds("大阪"));
  event.set_raw(R"({"log":"{\"msg\":\"\\u6771\\u4eac\"}"})");
  EXPECT_TRUE(finds("東京")) << "JSON within JSON";
  event.set_raw("plain Server line");
  EXPECT_TRUE(finds("ｓｅｒｖｅｒ"));
  EXPECT_TRUE(finds("ＰＬＡＩＮ*ｌｉｎｅ"));
  EXPECT_FALSE(finds("ｃｌｉｅｎｔ"));
}

TEST(Filter, ComparesIgnoringCaseWhereAsked) {
  EXPECT_TRUE(Matches("user =~ ADMIN"));
  EXPECT_TRUE(Matches("user =~ aDM*"));
  EXPECT_FALSE(Matches("user =~ admi"));
  EXPECT_FALSE(Matches("user = ADMIN"));
  EXPECT_TRUE(Matches("user =~ (root OR ADMIN)"));
  EXPECT_THAT(ErrorOf("src.port =~ 1"), HasSubstr("=~ is possible on text only"));
  const auto filter = Filter::Parse("user =~ admin", EventSchema());
  ASSERT_TRUE(filter.ok());
  EXPECT_TRUE(filter->EqualityTerms().empty()) << "an index knows one spelling";
}

TEST(Filter, HasReachesIntoRepeatedMessages) {
  detection::v1::Finding finding;
  finding.add_evidence()->set_event_id("a-1");
  finding.add_evidence()->set_event_id("b-2");
  finding.add_tags("attack.t1110");
  const Schema schema(detection::v1::Finding::descriptor());
  EXPECT_TRUE(Filter::Parse("evidence.event_id:b-2", schema)->Matches(finding));
  EXPECT_FALSE(Filter::Parse("evidence.event_id:2", schema)->Matches(finding));
  EXPECT_TRUE(Filter::Parse("tags:attack.*", schema)->Matches(finding));
  EXPECT_FALSE(Filter::Parse("tags:ATTACK.t1110", schema)->Matches(finding));
  EXPECT_THAT(ErrorOf("tags = x", schema), HasSubstr("at position 8: tags is repeated: use tags:"));
  EXPECT_THAT(ErrorOf("login", schema), HasSubstr("no comparison"));
}

TEST(Filter, NamesPositionAndReason) {
  EXPECT_EQ(ErrorOf("user = x AND sorce.ip = 1"),
            "filter: at position 14: unknown field \"sorce\"");
  EXPECT_THAT(ErrorOf("src.ipp = 1"), HasSubstr("position 1: unknown field \"src.ipp\""));
  EXPECT_THAT(ErrorOf("src.ip = 10.0.0.0/33"), HasSubstr("position 10: \"10.0.0.0/33\" is not"));
  EXPECT_THAT(ErrorOf("src.port = -1"), HasSubstr("position 12"));
  EXPECT_THAT(ErrorOf("src.port = 1.5"), HasSubstr("whole number"));
  EXPECT_THAT(ErrorOf("severity = URGENT"), HasSubstr("CRITICAL"));
  EXPECT_THAT(ErrorOf("user ="), HasSubstr("position 7: a value is missing"));
  EXPECT_THAT(ErrorOf("(user = x"), HasSubstr("position 1: this parenthesis is not closed"));
  EXPECT_THAT(ErrorOf("user = x)"), HasSubstr("position 9: unexpected"));
  EXPECT_THAT(ErrorOf("user = \"x"), HasSubstr("position 8: this quote is not closed"));
  EXPECT_THAT(ErrorOf("a AND"), HasSubstr("position 6: a term is missing"));
  EXPECT_THAT(ErrorOf("OR b"), HasSubstr("position 1: a term is missing"));
  EXPECT_THAT(ErrorOf("f(x)"), HasSubstr("functions are not supported"));
  EXPECT_THAT(ErrorOf("= 3"), HasSubstr("a field name is missing"));
  EXPECT_THAT(ErrorOf("event_time > now-1h"), HasSubstr("is not a time"));
  EXPECT_THAT(ErrorOf("src = 3"), HasSubstr("only src:* is possible"));
  EXPECT_THAT(ErrorOf("fields = 3"), HasSubstr("fields.NAME"));
  EXPECT_THAT(ErrorOf("fields.n > x"), HasSubstr("not a whole one"));
  EXPECT_THAT(ErrorOf("severity = H*"), HasSubstr("wildcard"));
  EXPECT_THAT(ErrorOf("user = \xff"), HasSubstr("UTF-8"));
}

TEST(Filter, IsBounded) {
  EXPECT_THAT(ErrorOf(std::string(kMaxLength + 1, 'a')), HasSubstr("longer than"));
  const auto nested = [](int depth) {
    return std::string(depth, '(') + "user = x" + std::string(depth, ')');
  };
  EXPECT_TRUE(Filter::Parse(nested(60), EventSchema()).ok());
  EXPECT_THAT(ErrorOf(nested(70)), HasSubstr("nested too deeply"));
  EXPECT_THAT(ErrorOf("user = " + std::string(2000, '(')), HasSubstr("nested too deeply"));
}

TEST(Filter, TellsEqualityTermsOfTheTopLevel) {
  const auto filter = Filter::Parse(
      "device = fw-1 (severity = high AND src.port = 53) user = a* (user = b OR user = c) -site = "
      "d",
      EventSchema());
  ASSERT_TRUE(filter.ok());
  std::vector<std::string> terms;
  for (const auto& term : filter->EqualityTerms()) terms.push_back(term.path + "=" + term.value);
  EXPECT_THAT(terms, ::testing::ElementsAre("device=fw-1", "severity=HIGH", "src.port=53"));
}

TEST(BareWords, OfTwoJapaneseCharactersInFullOrHalfWidthFindALine) {
  event::v1::Event event;
  event.set_raw("user=\"管理者\" msg=\"ﾛｸﾞｲﾝ失敗 ＦＴＰサーバー\"");
  for (const char* word :
       {"ログ", "ﾛｸﾞ", "失敗", "理者", "ftp", "ＦＴＰ", "サー", "ｻｰﾊﾞｰ", "ｲﾝ失*サ"}) {
    EXPECT_TRUE(Filter::Parse(word, EventSchema())->Matches(event)) << word;
  }
  for (const char* word : {"成功", "ロゴ", "ssh"}) {
    EXPECT_FALSE(Filter::Parse(word, EventSchema())->Matches(event)) << word;
  }
}

TEST(BareWords, AreSeparatedByTheSpaceOfJapaneseInputToo) {
  event::v1::Event event;
  event.set_user("taro");
  event.set_raw("場所は東京、建物はタワー");
  const auto matches = [&event](std::string_view text) {
    const auto filter = Filter::Parse(text, EventSchema());
    EXPECT_TRUE(filter.ok()) << text << ": " << filter.status();
    return filter.ok() && filter->Matches(event);
  };
  for (const char* text : {"東京　タワー", "タワー　　東京　", "　東京　AND　タワー",
                           "大阪　OR　東京", "NOT　大阪", "user　=　taro　東京",
                           "user = (taro　OR　jiro)", "user = \"taro\"　東京", "(東京)　タワー"}) {
    EXPECT_TRUE(matches(text)) << text;
  }
  EXPECT_FALSE(matches("東京　大阪"));
  EXPECT_FALSE(matches("\"東京　タワー\"")) << "a phrase has it as it is";
}

TEST(Filter, FindsPartsAndNamesInAnyWidthAndCase) {
  event::v1::Event event;
  event.set_message("ｶﾀｶﾅ ＡＤＭＩＮ１２３ Straße");
  event.set_raw("msg=ｶﾀｶﾅ ＡＤＭＩＮ１２３");
  event.set_host("WORKSTATION5");
  event.set_user("ＴＡＲＯ");
  const auto matches = [&event](std::string_view text) {
    const auto filter = Filter::Parse(text, EventSchema());
    EXPECT_TRUE(filter.ok()) << text << ": " << filter.status();
    return filter.ok() && filter->Matches(event);
  };
  for (const char* text :
       {"message : カタ", "message : ｶﾀ", "message : admin123", "message : \"ナ*１２３\"",
        "message : STRASSE", "raw : カタ", "raw : admin", "host : ｓｔａｔｉｏｎ５",
        "host =~ ＷＯＲＫＳＴＡＴＩＯＮ５", "host =~ ｗｏｒｋ*", "user =~ taro", "user =~ *aro",
        "user : ar"}) {
    EXPECT_TRUE(matches(text)) << text;
  }
  for (const char* text : {"message : ナタ", "raw : ナタ", "user = taro", "host = workstation5",
                           "user =~ tar", "host =~ ｗｏｒｋ", "host =~ ＷＯＲＫＳＴＡＴＩＯＮ６"}) {
    EXPECT_FALSE(matches(text)) << text;
  }
}

TEST(BareWords, FindWhatALineInAnotherCharacterSetSaysByItsFields) {
  event::v1::Event event;
  event.set_raw("msg=\x8e\xb8\x94\x73");  // CP932
  auto* field = event.add_fields();
  field->set_name("msg");
  field->set_value("失敗");
  EXPECT_TRUE(Filter::Parse("失敗", EventSchema())->Matches(event));
  EXPECT_FALSE(Filter::Parse("敗失", EventSchema())->Matches(event));
}

}  // namespace
}  // namespace yagura::filter
