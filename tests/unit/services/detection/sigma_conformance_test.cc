// The points of the Sigma specification, one after the other: docs/sigma.md names the tests.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/detection/engine_fixture.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAreArray;
using testing::MakeEvent;
using testing::RowsOf;
using testing::RuleWith;

// Field `f` has each of `values` in an event of its own; the rule matches those of `matching`.
struct ValueCase {
  std::string name;
  std::string selection;  // lines of the selection `s`
  std::vector<std::string> values;
  std::vector<uint32_t> matching;
};
class SigmaValue : public ::testing::TestWithParam<ValueCase> {};

TEST_P(SigmaValue, MatchesAsSpecified) {
  std::vector<event::v1::Event> events;
  for (const auto& value : GetParam().values) events.push_back(MakeEvent({{"f", value}}));
  EXPECT_THAT(RowsOf(RuleWith("  s:\n    " + GetParam().selection + "\n  condition: s"), events),
              ElementsAreArray(GetParam().matching));
}

std::string NameOf(const ::testing::TestParamInfo<ValueCase>& info) { return info.param.name; }

std::string Bytes(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text += static_cast<char>(byte);
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Text, SigmaValue,
    ::testing::Values(
        ValueCase{"WholeIgnoringCase", "f: 'Cmd.EXE'", {"cmd.exe", "CMD.EXE", "xcmd.exe"}, {0, 1}},
        ValueCase{"IgnoresCaseBeyondAscii",
                  "f: 'GÜNTER ΣΊΣΥΦΟΣ ЖУК'",
                  {"günter σίσυφος жук", "GüNTER ΣίΣΥΦΟς Жук", "gunter σίσυφος жук"},
                  {0, 1}},
        ValueCase{"FoldsTheKelvinSign", "f: 'k'", {"K", "\u212a", "x"}, {0, 1}},
        ValueCase{"KeepsTheTurkishDotlessI", "f: 'i'", {"I", "\u0131", "\u0130"}, {0}},
        ValueCase{"FoldsAroundWildcards", "f: 'Ä*Ö?Ü'", {"äxxöxü", "ÄÖÖÜ", "äöü"}, {0, 1}},
        ValueCase{"Cased", "f|cased: 'Cmd'", {"Cmd", "cmd"}, {0}},
        ValueCase{"CasedBeyondAscii", "f|cased|contains: 'Ü'", {"xÜx", "xüx"}, {0}},
        ValueCase{"Number", "f: 4624", {"4624", "04624", "46240"}, {0}},
        ValueCase{"EmptyText", "f: ''", {"", " ", "x"}, {0}},
        ValueCase{"ListIsOr", "f: [a, b]", {"a", "b", "c"}, {0, 1}},
        ValueCase{"All", "f|contains|all: [a, b]", {"ab", "a", "xbxax"}, {0, 2}},
        ValueCase{"AllOfOne", "f|contains|all: a", {"ab", "b"}, {0}},
        ValueCase{"StartsWith", "f|startswith: 'ab'", {"abc", "cab"}, {0}},
        ValueCase{"EndsWith", "f|endswith: '\\cmd.exe'", {"C:\\CMD.exe", "cmd.exe"}, {0}},
        ValueCase{"Contains", "f|contains: 'ab'", {"xabx", "axb"}, {0}},
        ValueCase{"Neq", "f|neq: [a, b]", {"a", "B", "c", ""}, {2, 3}},
        ValueCase{"NeqOfNumber", "f|neq: 5", {"5", "6"}, {1}},
        ValueCase{"NeqWithContains", "f|contains|neq: a", {"xax", "b"}, {1}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Wildcards, SigmaValue,
    ::testing::Values(
        ValueCase{"Star", "f: 'a*c'", {"ac", "abbc", "acb"}, {0, 1}},
        ValueCase{"StarAloneIsAnyValue", "f: '*'", {"", "x"}, {0, 1}},
        ValueCase{"QuestionMark", "f: 'prog?.exe'", {"progA.exe", "prog.exe", "prog€.exe"}, {0, 2}},
        ValueCase{"QuestionMarkAndStar", "f: '?*'", {"", "x", "xy"}, {1, 2}},
        ValueCase{"EscapedStar", "f: 'a\\*'", {"a*", "ab", "a\\*"}, {0}},
        ValueCase{"EscapedQuestionMark", "f: 'a\\?'", {"a?", "ab", "a\\?"}, {0}},
        ValueCase{"SingleBackslash", "f: 'a\\b'", {"a\\b", "ab", "a\\\\b"}, {0}},
        ValueCase{"DoubleBackslashIsOne", "f: 'a\\\\b'", {"a\\b", "a\\\\b"}, {0}},
        ValueCase{"BackslashBeforeWildcard", "f: 'a\\\\*'", {"a\\", "a\\xyz", "a*"}, {0, 1}},
        ValueCase{"BackslashAndStarBothPlain", "f: 'a\\\\\\*'", {"a\\*", "a\\x", "a*"}, {0}},
        ValueCase{"ThreeBackslashesAreTwo", "f: 'a\\\\\\b'", {"a\\\\b", "a\\b"}, {0}},
        ValueCase{"FourBackslashesAreTwo", "f: 'a\\\\\\\\b'", {"a\\\\b", "a\\b"}, {0}},
        ValueCase{"BackslashAtTheEnd", "f|endswith: 'a\\'", {"xa\\", "xa"}, {0}},
        ValueCase{"WildcardInContains", "f|contains: 'a*b?d'", {"xaxbcdx", "abd", "ab"}, {0}},
        ValueCase{"WildcardInEndsWith", "f|endswith: '\\a?.exe'", {"C:\\ab.exe", "ab.exe"}, {0}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Windash, SigmaValue,
    ::testing::Values(
        ValueCase{"EveryDash",
                  "f|windash|contains: ' -f'",
                  {"x -f", "x /f", "x \u2013f", "x \u2014f", "x \u2015f", "x f"},
                  {0, 1, 2, 3, 4}},
        ValueCase{
            "FromEveryDash", "f|windash|contains: ' \u2014f'", {"x -f", "x /f", "xf"}, {0, 1}},
        ValueCase{"EveryPermutation",
                  "f|windash: 'x -a /b -c -d'",
                  {"x -a /b -c -d", "X /A \u2013b \u2014c \u2015d", "x a b c d"},
                  {0, 1}},
        ValueCase{"NoDashWithinAWord", "f|windash: 'a-b'", {"a-b", "a/b"}, {0}},
        ValueCase{"NoDashBeforeASpace", "f|windash: 'a - b'", {"a - b", "a / b"}, {0}},
        ValueCase{"WithAll", "f|contains|windash|all: [' -a', ' -b']", {"x /b /a", "x /a"}, {0}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Encodings, SigmaValue,
    ::testing::Values(
        ValueCase{"Base64", "f|base64|contains: 'foobar'", {"x Zm9vYmFy x", "foobar"}, {0}},
        ValueCase{"Base64Padded", "f|base64: 'foob'", {"Zm9vYg==", "Zm9vYg"}, {0}},
        // "foobar" after nothing, "x" and "xy".
        ValueCase{"Base64Offset",
                  "f|base64offset|contains: 'foobar'",
                  {"Zm9vYmFy", "eGZvb2Jhcg==", "eHlmb29iYXI=", "Zm9vYmF6"},
                  {0, 1, 2}},
        ValueCase{"Base64OffsetOfAList",
                  "f|base64offset|contains: ['foobar', 'quxquu']",
                  {"eHlmb29iYXI=", "cXV4cXV1", "Zm9v"},
                  {0, 1}},
        ValueCase{"Utf16le", "f|utf16le: 'cmd'", {Bytes({'c', 0, 'm', 0, 'd', 0}), "cmd"}, {0}},
        ValueCase{"Wide", "f|wide|contains: 'cmd'", {Bytes({'x', 'c', 0, 'm', 0, 'd', 0})}, {0}},
        ValueCase{"Utf16be", "f|utf16be: 'cmd'", {Bytes({0, 'c', 0, 'm', 0, 'd'}), "cmd"}, {0}},
        ValueCase{
            "Utf16WithByteOrderMark", "f|utf16|base64: 'cmd'", {"//5jAG0AZAA=", "YwBtAGQA"}, {0}},
        ValueCase{"Utf16OfSurrogates", "f|utf16le|base64: '\U0001F600'", {"PdgA3g==", "x"}, {0}},
        // powershell -enc of "xIEX (New": UTF-16, then Base64 at some offset.
        ValueCase{"WideThenBase64Offset",
                  "f|wide|base64offset|contains: 'IEX (New'",
                  {"-enc eABJAEUAWAAgACgATgBlAHcA", "-enc SQBFAFgAIAAoAE4AZQB3AA==", "IEX (New"},
                  {0, 1}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Regex, SigmaValue,
    ::testing::Values(
        ValueCase{"FoundAnywhereCased", "f|re: 'b[0-9]{2}'", {"ab12c", "aB12c", "ab1"}, {0}},
        ValueCase{"Anchors", "f|re: '^a.c$'", {"abc", "xabc", "a\nc"}, {0}},
        ValueCase{"IgnoringCase", "f|re|i: 'ÄB'", {"äb", "ÄB", "ab"}, {0, 1}},
        ValueCase{"MultiLine", "f|re|m: '^b$'", {"a\nb\nc", "abc"}, {0}},
        ValueCase{"SingleLine", "f|re|s: 'a.b'", {"a\nb", "axb", "ab"}, {0, 1}},
        ValueCase{"FlagsTogether", "f|re|i|m|s: '^B.C'", {"a\nb\nc", "x"}, {0}},
        ValueCase{"Alternatives", "f|re: '(foo|ba+r)x?'", {"foo", "baaar", "fo"}, {0, 1}},
        ValueCase{"StartsWith", "f|re|startswith: 'a|b'", {"bx", "xb"}, {0}},
        ValueCase{"EndsWith", "f|re|endswith: 'a|b'", {"bx", "xb"}, {1}},
        ValueCase{"Neq", "f|re|neq: 'a+'", {"aa", "b"}, {1}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Numbers, SigmaValue,
    ::testing::Values(
        ValueCase{"Lt", "f|lt: 10", {"9.9", "10", "11", "-5", "x"}, {0, 3}},
        ValueCase{"Lte", "f|lte: 10", {"9", "10", "11"}, {0, 1}},
        ValueCase{"Gt", "f|gt: 10", {"9", "10", "11", "1e3"}, {2, 3}},
        ValueCase{"Gte", "f|gte: 10.5", {"10", "10.5", "11"}, {1, 2}},
        ValueCase{"Cidr", "f|cidr: 10.0.0.0/8", {"10.1.2.3", "11.0.0.1", "x"}, {0}},
        ValueCase{"CidrOfVersion6", "f|cidr: '2001:db8::/32'", {"2001:db8::1", "2001:db9::1"}, {0}},
        ValueCase{
            "CidrList", "f|cidr: [10.0.0.0/8, ::1/128]", {"::1", "10.9.9.9", "9.9.9.9"}, {0, 1}},
        ValueCase{"CidrNeq", "f|cidr|neq: 10.0.0.0/8", {"10.1.2.3", "11.0.0.1"}, {1}}),
    NameOf);

const std::vector<std::string> kTimes = {"2026-01-01T08:15:00Z",
                                         "2024-12-31 23:59:59.123",
                                         "2024-02-29",
                                         "2026-02-30T08:15:00Z",
                                         "08:15",
                                         "8"};
INSTANTIATE_TEST_SUITE_P(
    Times, SigmaValue,
    ::testing::Values(ValueCase{"Minute", "f|minute: 15", kTimes, {0}},
                      ValueCase{"Hour", "f|hour: 8", kTimes, {0}},
                      ValueCase{"HourInOrder", "f|hour|gte: 9", kTimes, {1}},
                      ValueCase{"Day", "f|day: 29", kTimes, {2}},
                      ValueCase{"DayInOrder", "f|day|lt: 30", kTimes, {0, 2}},
                      // The last day of 2024 is of the first week of 2025.
                      ValueCase{"Week", "f|week: 1", kTimes, {0, 1}},
                      ValueCase{"Month", "f|month: [1, 2]", kTimes, {0, 2}},
                      ValueCase{"Year", "f|year: 2024", kTimes, {1, 2}},
                      ValueCase{"YearNeq", "f|year|neq: 2024", kTimes, {0, 3, 4, 5}}),
    NameOf);

// Events with several fields.
struct EventCase {
  std::string name;
  std::string detection;
  std::vector<uint32_t> matching;
};
class SigmaEvent : public ::testing::TestWithParam<EventCase> {
 protected:
  static std::vector<event::v1::Event> Events() {
    return {MakeEvent({{"a", "same"}, {"b", "SAME"}}),
            MakeEvent({{"a", "C:\\x\\same"}, {"b", "\\same"}}),
            MakeEvent({{"a", ""}, {"b", "x"}}),
            MakeEvent({{"a", "null"}, {"b", "x"}}),
            MakeEvent({{"b", "x"}}),
            MakeEvent({{"a", "one"}, {"a", "two"}, {"c", "Two Évils"}})};
  }
};

TEST_P(SigmaEvent, MatchesAsSpecified) {
  EXPECT_THAT(RowsOf(RuleWith(GetParam().detection), Events()),
              ElementsAreArray(GetParam().matching));
}

INSTANTIATE_TEST_SUITE_P(
    Points, SigmaEvent,
    ::testing::Values(
        EventCase{"FieldReference", "  s:\n    a|fieldref: b\n  condition: s", {0}},
        EventCase{"FieldReferenceCased", "  s:\n    a|fieldref|cased: b\n  condition: s", {}},
        EventCase{"FieldReferenceNeq", "  s:\n    a|fieldref|neq: b\n  condition: s", {1, 2, 3}},
        EventCase{
            "FieldReferenceEndsWith", "  s:\n    a|fieldref|endswith: b\n  condition: s", {0, 1}},
        EventCase{
            "FieldReferenceStartsWith", "  s:\n    a|fieldref|startswith: b\n  condition: s", {0}},
        EventCase{
            "FieldReferenceContains", "  s:\n    a|contains|fieldref: b\n  condition: s", {0, 1}},
        EventCase{"FieldReferenceOfRepeatedFields",
                  "  s:\n    c|startswith|fieldref: a\n  condition: s",
                  {5}},
        EventCase{"NullIsMissingOrNull", "  s:\n    a: null\n  condition: s", {3, 4}},
        EventCase{"EmptyIsThere", "  s:\n    a: ''\n  condition: s", {2}},
        EventCase{"NullOrEmpty", "  s:\n    a: [null, '']\n  condition: s", {2, 3, 4}},
        EventCase{"NotNull",
                  "  s:\n    b|exists: true\n  n:\n    a: null\n  condition: s and not n",
                  {0, 1, 2}},
        EventCase{"Exists", "  s:\n    a|exists: true\n  condition: s", {0, 1, 2, 3, 5}},
        EventCase{"ExistsNot", "  s:\n    a|exists: False\n  condition: s", {4}},
        EventCase{"NeqWantsTheField", "  s:\n    a|neq: x\n  condition: s", {0, 1, 2, 3, 5}},
        EventCase{"MapIsAnd", "  s:\n    a: same\n    b: same\n  condition: s", {0}},
        EventCase{
            "ListOfMapsIsOr", "  s:\n    - a: same\n    - b: x\n  condition: s", {0, 2, 3, 4}},
        EventCase{"Keywords", "  k:\n    - 'ÉVILS'\n    - '\\x\\'\n  condition: k", {1, 5}},
        EventCase{
            "KeywordsAll", "  k:\n    '|all':\n      - one\n      - two\n  condition: k", {5}},
        EventCase{"KeywordsWithWildcard", "  k:\n    - 'two ?vils'\n  condition: k", {5}},
        EventCase{"KeywordsByRegex", "  k:\n    '|re': 'T[w]o .vils'\n  condition: k", {5}},
        EventCase{"KeywordsCased", "  k:\n    '|cased': 'Two '\n  condition: k", {5}},
        EventCase{"KeywordsOrMaps", "  k:\n    - SAME\n    - a: one\n  condition: k", {0, 1, 5}},
        EventCase{"OneOfThem",
                  "  s:\n    a: one\n  t:\n    a: same\n  _u:\n    b: x\n  condition: 1 of them",
                  {0, 5}},
        EventCase{"AllOfThem",
                  "  s:\n    a: same\n  t:\n    b: same\n  _u:\n    b: x\n  condition: all of them",
                  {0}},
        EventCase{"OneOfPattern",
                  "  s_1:\n    a: one\n  s_2:\n    a: same\n  t:\n    b: x\n  condition: 1 of s_*",
                  {0, 5}},
        EventCase{"AllOfPattern",
                  "  s_1:\n    a: one\n  s_2:\n    a: two\n  t:\n    b: x\n  condition: all of s_*",
                  {5}},
        EventCase{"PatternInTheMiddle",
                  "  x_s_y:\n    a: one\n  t:\n    b: x\n  condition: 1 of x*y",
                  {5}},
        EventCase{"UnderscoreByItsName", "  _s:\n    a: one\n  condition: _s", {5}},
        EventCase{"UnderscoreByItsPattern",
                  "  _s:\n    a: one\n  t:\n    a: same\n  condition: 1 of _*",
                  {5}},
        EventCase{"NotBindsTighterThanAnd",
                  "  s:\n    b: x\n  t:\n    a: ''\n  condition: not t and s",
                  {3, 4}},
        EventCase{"AndBindsTighterThanOr",
                  "  s:\n    a: one\n  t:\n    b: x\n  u:\n    a: ''\n  condition: s or t and u",
                  {2, 5}},
        EventCase{"Brackets",
                  "  s:\n    a: one\n  t:\n    b: x\n  u:\n    a: ''\n  condition: (s or t) and u",
                  {2}},
        EventCase{
            "NotOneOf", "  s_1:\n    a: one\n  s_2:\n    b: x\n  condition: not 1 of s_*", {0, 1}},
        EventCase{"ConditionList",
                  "  s:\n    a: one\n  t:\n    a: same\n  condition:\n    - s\n    - t",
                  {0, 5}}),
    [](const auto& point) { return point.param.name; });

TEST(SigmaExpand, PutsValuesWherePlaceholdersStand) {
  const std::vector events = {MakeEvent({{"h", "srv01"}}), MakeEvent({{"h", "DC1.example.net"}}),
                              MakeEvent({{"h", "%plainsrv7"}}), MakeEvent({{"h", "%Servers%"}}),
                              MakeEvent({{"h", "other"}})};
  const Placeholders placeholders = {{"Servers", {"srv*", "dc1"}}, {"nets", {"10.0.0.0/8"}}};
  const auto rows = [&](const std::string& selection) {
    return RowsOf(RuleWith("  s:\n    " + selection + "\n  condition: s"), events, placeholders);
  };
  EXPECT_EQ(rows("h|expand: '%Servers%'"), (std::vector<uint32_t>{0}));
  EXPECT_EQ(rows("h|expand: '%Servers%.example.net'"), (std::vector<uint32_t>{1}));
  EXPECT_EQ(rows("h|startswith|expand: '%Servers%'"), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(rows("h|expand: '\\%plain%Servers%'"), (std::vector<uint32_t>{2}));
  EXPECT_EQ(rows("h: '%Servers%'"), (std::vector<uint32_t>{3}));
  EXPECT_EQ(
      RowsOf(RuleWith("  s:\n    ip|cidr|expand: '%nets%'\n  condition: s"),
             {MakeEvent({{"ip", "10.2.3.4"}}), MakeEvent({{"ip", "192.0.2.1"}})}, placeholders),
      (std::vector<uint32_t>{0}));
}

}  // namespace
}  // namespace yagura::detection
