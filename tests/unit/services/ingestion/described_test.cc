// The language of descriptions: Grok, key=value, CSV, times, and what is refused.
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"
#include "services/ingestion/domain/described/description.h"
#include "services/ingestion/domain/described/grok.h"
#include "services/ingestion/domain/described/key_values.h"
#include "services/ingestion/domain/described/time_format.h"
#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

namespace v1 = event::v1;
using ::testing::HasSubstr;

GrokPatterns Patterns() {
  GrokPatterns patterns;
  patterns.Add("INT", "[0-9]+");
  patterns.Add("IP", R"((?:[0-9]{1,3}\.){3}[0-9]{1,3})");
  patterns.Add("ENDPOINT", "%{IP:ip}:%{INT:port}");
  return patterns;
}

Pairs Matched(std::string_view expression, std::string_view text) {
  const auto grok = Grok::Compile(expression, Patterns());
  EXPECT_TRUE(grok.ok()) << grok.status();
  Pairs pairs;
  const auto add = [&pairs](event::FieldView field) {
    pairs.emplace_back(field.name, field.value);
  };
  if (!grok.ok() || !grok->Match(text, add)) return {{"no", "match"}};
  return pairs;
}

TEST(GrokTest, NamedPiecesAreCaughtInTheirOrder) {
  EXPECT_EQ(Matched("from %{ENDPOINT} user (?<user.name>\\w+)", "x from 192.0.2.1:53 user bob"),
            (Pairs{{"ip", "192.0.2.1"}, {"port", "53"}, {"user.name", "bob"}}));
  EXPECT_EQ(Matched("%{INT:[http][status]:int}", "200"), (Pairs{{"http.status", "200"}}));
}

TEST(GrokTest, GroupsThatTookNoPartAreLeftOut) {
  EXPECT_EQ(Matched("^(?:a %{INT:a}|b %{INT:b})$", "b 7"), (Pairs{{"b", "7"}}));
  EXPECT_EQ(Matched("^a %{INT:a}$", "b 7"), (Pairs{{"no", "match"}}));
}

TEST(GrokTest, BytesNeedNotBeUtf8) {
  EXPECT_EQ(Matched("^(?<all>.*)$", "\xff\x82\xa0"), (Pairs{{"all", "\xff\x82\xa0"}}));
}

TEST(GrokTest, WhatIsNotInTheLanguageIsRefusedWithItsReason) {
  const auto refusal = [](std::string_view expression) {
    GrokPatterns patterns = Patterns();
    patterns.Add("SELF", "%{SELF}");
    return std::string(Message(Grok::Compile(expression, patterns).status()));
  };
  EXPECT_THAT(refusal("%{NOSUCH:x}"), HasSubstr("no pattern NOSUCH"));
  EXPECT_THAT(refusal("%{INT"), HasSubstr("not closed"));
  EXPECT_THAT(refusal("(?<=a)b"), HasSubstr("look-behind"));
  EXPECT_THAT(refusal("a(?!b)"), HasSubstr("(?!"));
  EXPECT_THAT(refusal("%{SELF}"), HasSubstr("too deeply"));
  EXPECT_THAT(refusal("("), HasSubstr("missing )"));
}

Pairs PairsIn(std::string_view text, const KeyValueFormat& format) {
  TextArena arena;
  std::vector<event::FieldView> fields;
  ReadKeyValues(text, format, arena, &fields);
  Pairs pairs;
  for (const auto& field : fields) pairs.emplace_back(field.name, field.value);
  return pairs;
}

TEST(KeyValuesTest, QuotedAndBareValuesAreRead) {
  EXPECT_EQ(PairsIn(R"(proto: a=1 b="two \"words\"" c= d='x y')", {}),
            (Pairs{{"a", "1"}, {"b", "two \"words\""}, {"c", ""}, {"d", "x y"}}));
}

TEST(KeyValuesTest, AGreedyValueGoesOnToTheNextName) {
  KeyValueFormat format;
  format.greedy = true;
  EXPECT_EQ(PairsIn("msg=Denied by rule act=drop a=", format),
            (Pairs{{"msg", "Denied by rule"}, {"act", "drop"}, {"a", ""}}));
  format.separator = ", ";
  format.assign = ": ";
  EXPECT_EQ(PairsIn("Access Rule: Out, to DMZ, Src IP: 192.0.2.1", format),
            (Pairs{{"Access Rule", "Out, to DMZ"}, {"Src IP", "192.0.2.1"}}));
}

TEST(KeyValuesTest, EscapesOfBareValuesAreRead) {
  KeyValueFormat format;
  format.greedy = true;
  format.escaped = true;
  EXPECT_EQ(PairsIn(R"(origin=CN\=fw,O\=x path=C:\\dir\\ end=1)", format),
            (Pairs{{"origin", "CN=fw,O=x"}, {"path", "C:\\dir\\"}, {"end", "1"}}));
}

TEST(KeyValuesTest, ADoubledQuoteIsOne) {
  KeyValueFormat format;
  format.separator = ",";
  EXPECT_EQ(PairsIn("a=\"x, \"\"y\"\", z\",b=\"\",c=1", format),
            (Pairs{{"a", "x, \"y\", z"}, {"b", ""}, {"c", "1"}}));
}

TEST(KeyValuesTest, AQuoteInTheMiddleOfAValueEndsNothing) {
  EXPECT_EQ(PairsIn(R"(a="b"c d="e f" g="h)", {}),
            (Pairs{{"a", "\"b\"c"}, {"d", "e f"}, {"g", "\"h"}}));
  KeyValueFormat cef;
  cef.greedy = true;
  cef.escaped = true;
  EXPECT_EQ(PairsIn(R"(msg="Foo" was blocked suser="x src=192.0.2.1 act=drop)", cef),
            (Pairs{{"msg", "\"Foo\" was blocked"},
                   {"suser", "\"x"},
                   {"src", "192.0.2.1"},
                   {"act", "drop"}}));
}

TEST(KeyValuesTest, SignsWithoutNamesCostNoMoreThanOtherBytes) {
  KeyValueFormat format;
  format.greedy = true;
  // A quadratic reader would take minutes for these 4 MiB.
  EXPECT_EQ(PairsIn("a=" + std::string(4 << 20, '='), format).size(), 1u);
  EXPECT_LE(PairsIn(
                [] {
                  std::string text = "a=";
                  for (int i = 0; i < 1 << 20; ++i) text += " =";
                  return text;
                }(),
                format)
                .size(),
            1u);
}

struct TimeCase {
  const char* format;
  const char* text;
  const char* time;
};
class TimeFormatTest : public ::testing::TestWithParam<TimeCase> {};
TEST_P(TimeFormatTest, IsRead) {
  const auto format = TimeFormat::Parse(GetParam().format);
  ASSERT_TRUE(format.ok()) << format.status();
  bool zone_used = false;
  const auto time = format->Read(GetParam().text, At("2027-01-01T00:00:05Z"),
                                 SourceZone::Find("Asia/Tokyo").value(), &zone_used);
  ASSERT_TRUE(time.has_value());
  EXPECT_EQ(FormatTime(*time), GetParam().time);
}
INSTANTIATE_TEST_SUITE_P(
    All, TimeFormatTest,
    ::testing::Values(
        TimeCase{"%Y/%m/%d %H:%M:%S", "2026/11/21 09:15:42", "2026-11-21T00:15:42Z"},
        TimeCase{"%d/%b/%Y:%H:%M:%S %z", "21/Nov/2026:09:15:42 -0530", "2026-11-21T14:45:42Z"},
        TimeCase{"%b %e %H:%M:%S.%f", "Jan  1 09:00:01.25", "2027-01-01T00:00:01.25Z"},
        TimeCase{"%b %e %H:%M:%S", "Dec 31 23:59:58", "2026-12-31T14:59:58Z"},
        TimeCase{"%m/%d/%y %I:%M:%S %p", "11/21/26 12:05:00 AM", "2026-11-20T15:05:00Z"},
        TimeCase{"%Y%j%H%M%S", "2026325091542", "2026-11-21T00:15:42Z"},
        TimeCase{"%Y-%m-%d %H:%M:%S %Z", "2026-11-21 00:15:42 UTC", "2026-11-21T00:15:42Z"},
        TimeCase{"%Y-%m-%d %H:%M:%S %Z", "2026-11-20 19:15:42 EST", "2026-11-21T00:15:42Z"},
        TimeCase{"%Y-%m-%d %H:%M:%S %Z", "2026-11-21 09:15:42 XYZ", "2026-11-21T00:15:42Z"},
        TimeCase{"epoch", "1795220142123", "2026-11-21T00:15:42.123Z"},
        TimeCase{"iso", "2026-11-21T09:15:42.5+09:00", "2026-11-21T00:15:42.5Z"},
        TimeCase{"bsd", "Nov 21 09:15:42", "2026-11-21T00:15:42Z"}));

TEST(TimeFormatTest, WhatDoesNotFitIsNothing) {
  bool zone_used = false;
  const auto read = [&](std::string_view format, std::string_view text) {
    return TimeFormat::Parse(format)
        .value()
        .Read(text, At("2026-11-21T00:00:00Z"), SourceZone(), &zone_used)
        .has_value();
  };
  EXPECT_FALSE(read("%Y-%m-%d", "2026-02-30"));
  EXPECT_FALSE(read("%Y-%m-%d", "2026/02/03"));
  EXPECT_FALSE(read("%H:%M", "24:00"));
  EXPECT_FALSE(TimeFormat::Parse("%Q").ok());
}

constexpr std::string_view kDescription = R"(
name: example
title: Example of the tests
product: example.box
recognise:
  - starts: 'BOX,'
extract:
  - csv: {columns: [_, kind, when, who, what, note]}
  - switch:
      on: kind
      cases:
        login, logon:
          - set: {category: authentication, action: LOGON}
        deny:
          - grok: '^(?P<src>\S+)>(?P<dst>\S+)$'
            from: what
          - set: {action: BLOCKED, url: 'box://%{dst}/%{who}'}
core:
  event_time: {from: when, format: '%Y%m%d %H%M%S'}
  user: who
  src.ip: src
  dst.address: dst
  message: note
)";

v1::Event ParseWith(std::string_view yaml, std::string_view line) {
  const auto description = Description::Parse(yaml, Patterns());
  EXPECT_TRUE(description.ok()) << description.status();
  const auto parser = MakeDescribedParser(*description);
  TextArena arena;
  SyslogHeader header;
  const SourceZone zone = SourceZone::Find("Asia/Tokyo").value();
  ReadSyslogHeader(line, At("2026-11-21T00:15:45Z"), zone, arena, &header);
  const LineInput input{line, header, At("2026-11-21T00:15:45Z"), zone};
  ParsedLine parsed;
  EXPECT_TRUE(parser->Recognises(input));
  parser->Parse(input, arena, &parsed);
  v1::Event event;
  event::ToProto(parsed.event, &event);
  return event;
}

TEST(DescriptionTest, StepsAndCoreMakeTheEvent) {
  const v1::Event event = ParseWith(
      kDescription, R"(BOX,deny,20261121 091542,bob,192.0.2.1>host.example,"said ""no""",extra)");
  EXPECT_EQ(event.product(), "example.box");
  EXPECT_EQ(event.action(), v1::BLOCKED);
  EXPECT_EQ(Ip(event.src().ip()), "192.0.2.1");
  EXPECT_EQ(event.dst().host(), "host.example");
  EXPECT_EQ(event.user(), "bob");
  EXPECT_EQ(event.url(), "box://host.example/bob");
  EXPECT_EQ(event.message(), "said \"no\"");
  EXPECT_EQ(EventTime(event), "2026-11-21T00:15:42Z");
  EXPECT_EQ(FieldOf(event, "column_7"), "extra");
  EXPECT_FALSE(HasFlaw(event, v1::PARTLY_PARSED));
}

// In milliseconds; "(none)" where the event has none.
std::string DurationOf(const std::string& clock) {
  const v1::Event event = ParseWith(
      "name: box\ntitle: a\nproduct: a.b\nrecognise: [{starts: 'lasted '}]\n"
      "extract: [{grok: '^lasted (?P<lasted>.*)$'}]\n"
      "core: {duration: {from: lasted, unit: clock}}\n",
      "lasted " + clock);
  if (!event.has_duration()) return "(none)";
  return std::to_string(event.duration().seconds() * 1000 + event.duration().nanos() / 1'000'000);
}

TEST(DescriptionTest, ADurationMayBeWrittenAsAClock) {
  EXPECT_EQ(DurationOf("0:00:30"), "30000");
  EXPECT_EQ(DurationOf("26:00:30"), "93630000");
  EXPECT_EQ(DurationOf("1d 2h:03m:04s"), "93784000");
  EXPECT_EQ(DurationOf("02:01"), "121000");
  EXPECT_EQ(DurationOf("7"), "7000");
  for (const char* none : {"", "x", "1:", ":1", "1:-2", "1:2:3:4:5", "99999999999", "1h:2m",
                           "1000000000:00:00", "1000000000d 0h:0m:0s"}) {
    EXPECT_EQ(DurationOf(none), "(none)") << none;
  }
}

TEST(DescriptionTest, PairsMayHaveNamesOfTheirOwn) {
  const v1::Event event = ParseWith(
      "name: box\ntitle: a\nproduct: a.b\nrecognise: [{starts: a}]\n"
      "extract: [{kv: {prefix: inner.}}]\n",
      "a=1 b=2");
  EXPECT_EQ(FieldsOf(event), (Pairs{{"inner.a", "1"}, {"inner.b", "2"}}));
}

TEST(DescriptionTest, ALineOfAnotherFormKeepsItsPairsAndIsMarked) {
  const v1::Event event = ParseWith(kDescription, "BOX,deny,x,bob,a=1 b=2");
  EXPECT_TRUE(HasFlaw(event, v1::PARTLY_PARSED));
  EXPECT_EQ(FieldOf(event, "b"), "2");
}

TEST(DescriptionTest, WhatNoStepTakesApartKeepsItsPairs) {
  const v1::Event event =
      ParseLine("<38>Nov 21 09:15:42 srv1 sshd[42]: something new user=alice n=1");
  EXPECT_EQ(event.product(), "linux.auth");
  EXPECT_EQ(FieldsOf(event), (Pairs{{"user", "alice"}, {"n", "1"}}));
  EXPECT_EQ(event.user(), "alice");
  EXPECT_FALSE(HasFlaw(event, v1::PARTLY_PARSED));
}

// What a daemon logs is full of words that a stranger chose.
TEST(ShippedParsersTest, AStrangerDoesNotChooseTheParser) {
  const std::string asa =
      "%ASA-6-605005: Login permitted from 10.0.0.1/22 to in:10.0.0.2/ssh for user admin";
  for (const std::string& words :
       {asa, std::string("msg_id=\"3000-0148\" Allow a b tcp 1.1.1.1 2.2.2.2 1 2"),
        std::string("[1:2:3] x {TCP} 1.1.1.1:1 -> 2.2.2.2:2"),
        std::string("IN=a OUT=b SRC=1.1.1.1 DST=2.2.2.2"), std::string("%SYS-5-CONFIG_I: x"),
        std::string("01420002:5: AUDIT - user root")}) {
    const v1::Event ssh =
        ParseLine("<38>Nov 21 09:15:42 s1 sshd[42]: Failed password for invalid user " + words +
                  " from 203.0.113.9 port 40000 ssh2");
    EXPECT_EQ(ssh.product(), "linux.auth") << words;
    EXPECT_EQ(ssh.action(), v1::LOGON_FAILED) << words;
    EXPECT_EQ(Ip(ssh.src().ip()), "203.0.113.9") << words;
    const v1::Event web =
        ParseLine("203.0.113.9 - - [21/Nov/2026:09:15:42 +0900] \"GET / HTTP/1.1\" 200 1 \"-\" \"" +
                  words + "\"");
    EXPECT_EQ(web.product(), "generic.web_access") << words;
  }
}

TEST(ShippedParsersTest, AUserNameCannotForgeTheAddress) {
  const v1::Event event = ParseLine(
      "<38>Nov 21 09:15:42 s1 sshd[42]: Failed password for invalid user root from 10.0.0.1 port "
      "22 "
      "ssh2: x from 203.0.113.9 port 40000 ssh2");
  EXPECT_EQ(Ip(event.src().ip()), "203.0.113.9");
  const v1::Event most = ParseLine(
      "<38>Nov 21 09:15:42 s1 sshd[42]: error: maximum authentication attempts exceeded for "
      "invalid "
      "user a from 10.0.0.1 port 22 ssh2 from 203.0.113.9 port 40000 ssh2 [preauth]");
  EXPECT_EQ(Ip(most.src().ip()), "203.0.113.9");
}

struct Mistake {
  const char* yaml;
  const char* told;
};
class DescriptionMistakeTest : public ::testing::TestWithParam<Mistake> {};
TEST_P(DescriptionMistakeTest, IsToldWithItsLine) {
  const auto description = Description::Parse(GetParam().yaml, Patterns());
  ASSERT_FALSE(description.ok());
  EXPECT_THAT(std::string(Message(description.status())), HasSubstr(GetParam().told));
}
INSTANTIATE_TEST_SUITE_P(
    All, DescriptionMistakeTest,
    ::testing::Values(
        Mistake{"name: a\ntitle: a\nproduct: a.b\n", "\"recognise\" is missing"},
        Mistake{"name: a\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\nnonsense: 1\n",
                "line 5: unknown key \"nonsense\""},
        Mistake{"name: a\ntitle: a\nproduct: a.b\nrecognise: [{}]\n", "holds for every line"},
        Mistake{"name: a\ntitle: a\nproduct: a.b\nrecognise: [{matches: '('}]\n", "line 4"},
        Mistake{"name: a\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\ncore: {nope: a}\n",
                "line 5: the core has no \"nope\""},
        Mistake{"name: a\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\nextract:\n  - grok: "
                "'%{NOPE:x}'\n",
                "line 6: "},
        Mistake{"name: json\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\n", "line 1"},
        Mistake{"name: A b\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\n", "line 1"},
        Mistake{"name: a\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\nextract:\n  - kv: {}\n"
                "    from: text\n",
                "unknown key \"from\""},
        Mistake{"name: a\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\nextract:\n  - set: "
                "{action: BLOKED}\n",
                "\"BLOKED\" is no action"},
        Mistake{
            "name: a\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\ncore: {severity: {from: "
            "x, values: {1: grave}}}\n",
            "\"grave\" is no severity"},
        Mistake{
            "name: a\ntitle: a\nproduct: a.b\nrecognise: [{starts: x}]\ncore: {host: '@hots'}\n",
            "no part \"@hots\""},
        Mistake{"name: [\n", "line"}));

TEST(DescriptionTest, ALineCannotBringWhatTheDescriptionKeepsForItself) {
  constexpr std::string_view kYaml =
      "name: example\ntitle: x\nproduct: a.b\nrecognise: [{starts: BOX}]\nextract:\n  - kv: {}\n"
      "  - grok: 'user=(?P<__who>\\w+)'\ncore: {user: __who}\n";
  const v1::Event event = ParseWith(kYaml, "BOX __who=admin __CURSOR=7 user=mallory");
  EXPECT_EQ(event.user(), "mallory");
  EXPECT_EQ(FieldOf(event, "__who"), "admin");
  EXPECT_EQ(FieldOf(event, "__CURSOR"), "7");
}

}  // namespace
}  // namespace yagura::ingestion
