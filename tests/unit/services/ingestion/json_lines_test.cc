#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/ingestion/domain/time_text.h"
#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

namespace v1 = event::v1;

TEST(JsonLinesTest, NestedNamesAreJoinedByDots) {
  const v1::Event event = ParseLine(
      R"({"a":{"b":{"c":"x\u00e9\n"}},"n":[1,-2.50,true,null,{"k":"v"}],"e":{},"l":[],"big":123456789012345678901234567890})");
  EXPECT_EQ(FieldsOf(event), (Pairs{{"a.b.c", "x\xc3\xa9\n"},
                                    {"n", "1"},
                                    {"n", "-2.50"},
                                    {"n", "true"},
                                    {"n", "null"},
                                    {"n.k", "v"},
                                    {"e", "{}"},
                                    {"l", "[]"},
                                    {"big", "123456789012345678901234567890"}}));
  EXPECT_EQ(event.product(), "generic.json");
  EXPECT_FALSE(HasFlaw(event, v1::PARTLY_PARSED)) << event.parse_error();
}

TEST(JsonLinesTest, NamesAreNoLongerThanTheyMayBe) {
  std::string inner;
  for (int i = 0; i < 100; ++i) inner += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":1";
  const v1::Event event = ParseLine("{\"" + std::string(20'000, 'p') + "\":{" + inner + "}}");
  size_t bytes = 0;
  for (const auto& field : FieldsOf(event)) bytes += field.first.size();
  EXPECT_LE(bytes, 100u * 512u);
}

TEST(JsonLinesTest, WindowsEventsBecomeTheTypedCore) {
  const v1::Event event = ParseLine(
      R"({"SourceName":"Microsoft-Windows-Security-Auditing","Channel":"Security","Hostname":"pc1","@timestamp":"2026-11-21T00:15:40.500Z","EventID":4625,"TargetUserName":"alice","IpAddress":"192.0.2.7","IpPort":"50000","Message":"An account failed to log on."})");
  EXPECT_EQ(event.product(), "microsoft.windows");
  EXPECT_EQ(event.category(), "security");
  EXPECT_EQ(event.action(), v1::LOGON_FAILED);
  EXPECT_EQ(event.vendor_event_id(), "4625");
  EXPECT_EQ(event.user(), "alice");
  EXPECT_EQ(Ip(event.src().ip()), "192.0.2.7");
  EXPECT_EQ(event.src().port(), 50000u);
  EXPECT_EQ(event.host(), "pc1");
  EXPECT_EQ(event.message(), "An account failed to log on.");
  EXPECT_EQ(EventTime(event), "2026-11-21T00:15:40.5Z");
  EXPECT_EQ(FieldOf(event, "EventID"), "4625");
}

TEST(JsonLinesTest, ASyslogHeaderMayStandBefore) {
  const v1::Event event = ParseLine(
      R"(<134>Nov 21 09:15:42 sensor suricata[7]: {"event_type":"alert","flow_id":1,"src_ip":"2001:db8::5","alert":{"signature":"ET SCAN","signature_id":2001}})");
  EXPECT_EQ(event.product(), "oisf.suricata");
  EXPECT_EQ(event.category(), "alert");
  EXPECT_EQ(event.program(), "suricata");
  EXPECT_EQ(event.host(), "sensor");
  EXPECT_EQ(event.signature(), "ET SCAN");
  EXPECT_EQ(event.signature_id(), "2001");
  EXPECT_EQ(Ip(event.src().ip()), "2001:db8::5");
  EXPECT_EQ(EventTime(event), "2026-11-21T00:15:42Z");
}

TEST(JsonLinesTest, ZeekIsRecognised) {
  const v1::Event event = ParseLine(
      R"({"_path":"conn","ts":1795220142.5,"uid":"C1","id.orig_h":"10.1.0.5","id.orig_p":1234,"id.resp_h":"198.51.100.1","id.resp_p":53,"proto":"udp","orig_bytes":39,"resp_bytes":55})");
  EXPECT_EQ(event.product(), "zeek.zeek");
  EXPECT_EQ(event.category(), "conn");
  EXPECT_EQ(event.dst().port(), 53u);
  EXPECT_EQ(event.bytes_out(), 39u);
  EXPECT_EQ(event.bytes_in(), 55u);
  EXPECT_EQ(FromProto(event.event_time()), *ReadEpoch("1795220142.5"));
}

TEST(JsonLinesTest, ANumberThatIsNoTimeOfTodayIsNone) {
  for (const char* number : {"45", "0.25", "946684799", "4102444800", "\"120000\""}) {
    const std::string line = std::string(R"({"time":)") + number;
    EXPECT_EQ(EventTime(ParseLine(line + R"(,"ts":1795514400.5})")), "2026-11-24T10:00:00.5Z");
    EXPECT_TRUE(HasFlaw(ParseLine(line + "}"), v1::NO_EVENT_TIME)) << number;
  }
  EXPECT_EQ(EventTime(ParseLine(R"({"time":1795514400500})")), "2026-11-24T10:00:00.5Z");
}

TEST(JsonLinesTest, WhatStandsBeforeTheObjectIsTheMessage) {
  const v1::Event event = ParseLine(
      R"(<134>Nov 21 09:15:42 ctl1 INFO [config: changed] {"level":"ALERT_LOW","name":"pool1"})");
  EXPECT_EQ(event.product(), "generic.json");
  EXPECT_EQ(event.message(), "INFO [config: changed]");
  EXPECT_EQ(FieldOf(event, "name"), "pool1");
}

TEST(JsonLinesTest, BadJsonKeepsWhatCameBeforeAndTheRawLine) {
  for (const char* line : {R"({"a":"1","b":)", R"({"a":"1"} trailing)", R"({"a":"1","b":tru})",
                           R"({"a":"1",)", R"({"a":"1","b)", R"({"a":"1","b":["x","y)",
                           R"({"a":"1","b":{"c":"x\)", R"({"a":"1","b":["x"},"c":"2"})",
                           R"({"a":"1","b":"\u12)", "{\"a\":\"1\",\"b\":\"\xff\"}"}) {
    const v1::Event event = ParseLine(line);
    EXPECT_TRUE(HasFlaw(event, v1::PARTLY_PARSED)) << line;
    EXPECT_FALSE(event.parse_error().empty());
    EXPECT_EQ(event.raw(), line);
    EXPECT_EQ(FieldOf(event, "a"), "1") << line;
  }
  const v1::Event cut = ParseLine(R"({"n":7,"l":[{"k":"v"},{"k":"w)");
  EXPECT_EQ(FieldsOf(cut), (Pairs{{"n", "7"}, {"l.k", "v"}, {"l.k", "w"}}));
}

TEST(JsonLinesTest, BytesThatAreNoCharactersHideNothingElse) {
  const std::string alert =
      R"({"event_type":"alert","flow_id":1,"src_ip":"198.51.100.78","http":{"url":"/a@"},"alert":{"signature_id":7,"signature":"X"}})";
  for (const char* header : {"", "<134>Nov 21 09:15:42 sensor suricata[7]: "}) {
    for (const auto& [bytes, text] : Pairs{{"\xff", "\xef\xbf\xbd"},
                                           {"\x93\x8c", "\xef\xbf\xbd\xef\xbf\xbd"},
                                           {"\xff\\n\t", "\xef\xbf\xbd\n\t"}}) {
      std::string line = header + alert;
      line.replace(line.find('@'), 1, bytes);
      const v1::Event event = ParseLine(line);
      EXPECT_EQ(event.product(), "oisf.suricata") << line;
      EXPECT_EQ(event.raw(), line);
      EXPECT_EQ(Ip(event.src().ip()), "198.51.100.78");
      EXPECT_EQ(event.signature_id(), "7");
      EXPECT_EQ(FieldOf(event, "http.url"), "/a" + text);
      EXPECT_TRUE(HasFlaw(event, v1::PARTLY_PARSED));
    }
  }
}

TEST(JsonLinesTest, EscapesThatAreNoneHideNothingElse) {
  const std::string bad = R"(a\x22b\ud800c\udc00d\ud800\u0041\ud83d\ude00\u12g4\')";
  const v1::Event event = ParseLine(R"({"\ud800k":"1","EventID":4625,"o":{"p":[")" + bad +
                                    R"("]},"Channel":"Security","IpAddress":"192.0.2.7"})");
  EXPECT_EQ(event.product(), "microsoft.windows");
  EXPECT_EQ(Ip(event.src().ip()), "192.0.2.7");
  EXPECT_EQ(FieldOf(event, "\xef\xbf\xbdk"), "1");
  EXPECT_EQ(FieldOf(event, "o.p"),
            "a\\x22b\xef\xbf\xbd"
            "c\xef\xbf\xbd"
            "d\xef\xbf\xbd"
            "A\xf0\x9f\x98\x80\\u12g4\\'");
  EXPECT_TRUE(HasFlaw(event, v1::PARTLY_PARSED));
}

TEST(JsonLinesTest, NumbersOfAnySizeAreKeptAsTheirText) {
  const v1::Event event = ParseLine(R"({"n":18446744073709551616,"e":1e400,"s":-1e-400,"z":"x"})");
  EXPECT_EQ(FieldsOf(event),
            (Pairs{{"n", "18446744073709551616"}, {"e", "1e400"}, {"s", "-1e-400"}, {"z", "x"}}));
  EXPECT_FALSE(HasFlaw(event, v1::PARTLY_PARSED)) << event.parse_error();
}

TEST(JsonLinesTest, DeepNestingIsKeptAsText) {
  std::string line = "1";
  for (int i = 0; i < 200; ++i) line = "{\"k\":" + line + "}";
  const v1::Event event = ParseLine(line);
  ASSERT_EQ(event.fields_size(), 1);
  EXPECT_NE(event.fields(0).value().find("{\"k\":"), std::string::npos);
}

}  // namespace
}  // namespace yagura::ingestion
