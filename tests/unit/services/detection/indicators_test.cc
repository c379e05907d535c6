// Lists of indicators: what is taken, what is refused with which line, and which events name one.
#include "services/detection/domain/indicators.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/event/event_view.h"
#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/testing/status_matchers.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using yagura::testing::IsOk;

std::vector<std::string> Shown(const std::vector<Indicator>& indicators) {
  std::vector<std::string> shown;
  for (const auto& one : indicators) shown.push_back(one.shown);
  return shown;
}

std::string ReasonOf(std::string_view text) {
  const auto parsed = ParseIndicators(text);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(Message(parsed.status()));
}

TEST(Indicators, OneALineOfEachKindHarmlessOrNot) {
  const auto parsed = ParseIndicators(
      "# from the advisory\n198.51.100.7\n\n203.0.113.0/24\r\n2001:db8::1\nevil[.]example\n"
      "hxxps://Bad.example[.]com:8443/Drop.php?x=1\n44D88612FEA8A8F36DE82E1278ABB02F\n"
      "evil.example\nmalware.example/stage2\n");
  ASSERT_THAT(parsed, IsOk());
  EXPECT_THAT(Shown(*parsed),
              ElementsAre("198.51.100.7", "203.0.113.0/24", "2001:db8::1", "evil.example",
                          "https://Bad.example.com:8443/Drop.php?x=1",
                          "44D88612FEA8A8F36DE82E1278ABB02F", "malware.example/stage2"));
  EXPECT_EQ((*parsed)[1].type, Indicator::Type::kNetwork);
  EXPECT_EQ((*parsed)[3].type, Indicator::Type::kDomain);
  EXPECT_EQ((*parsed)[4].text, "bad.example.com:8443/drop.php?x=1");
  EXPECT_EQ((*parsed)[5].type, Indicator::Type::kHash);
  EXPECT_EQ((*parsed)[6].type, Indicator::Type::kUrl);
}

TEST(Indicators, OfCsvTheColumnThatItsHeadingNames) {
  const auto parsed = ParseIndicators(
      "\xef\xbb\xbftype,IOC,comment\nipv4,198.51.100.7,\"a, b\"\ndomain,\"evil.example\",\n");
  ASSERT_THAT(parsed, IsOk());
  EXPECT_THAT(Shown(*parsed), ElementsAre("198.51.100.7", "evil.example"));
  const auto first = ParseIndicators("198.51.100.7,seen in June\nevil.example,x\n");
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(Shown(*first), ElementsAre("198.51.100.7", "evil.example"));
}

TEST(Indicators, WhatIsNoneIsRefusedWithItsLine) {
  EXPECT_THAT(ReasonOf("evil.example\nlocalhost\n"), HasSubstr("line 2: \"localhost\""));
  EXPECT_THAT(ReasonOf("\n\n10.0.0.0/7\n"), HasSubstr("line 3: a network wider than /8"));
  EXPECT_THAT(ReasonOf("10.0.0.0/33"), HasSubstr("line 1"));
  EXPECT_THAT(ReasonOf("http:///x"), HasSubstr("line 1: is a URL without a host"));
  EXPECT_THAT(ReasonOf("a.example\nb\x1b[31m.example"), HasSubstr("line 2: has characters"));
  EXPECT_THAT(ReasonOf("東京.example"), HasSubstr("xn--"));
  EXPECT_THAT(ReasonOf("# nothing\n"), HasSubstr("names no indicator"));
  EXPECT_THAT(ReasonOf("type,ioc\nx"), HasSubstr("line 2: has nothing in column 2"));
  EXPECT_THAT(ReasonOf(std::string(kMaxIndicatorText + 1, 'a')), HasSubstr("longer than 256 KiB"));
  std::string many;
  for (size_t i = 0; i <= kMaxIndicators; ++i) many += fmt::format("h{}.example\n", i);
  EXPECT_THAT(ReasonOf(many), HasSubstr("line 2001: more than 2000"));
}

event::v1::Event EventWith(std::string_view src, std::string_view dst, std::string_view raw) {
  event::v1::Event event;
  const auto bytes = [](std::string_view text) {
    return std::string(event::IpAddress::Parse(text)->bytes());
  };
  if (!src.empty()) event.mutable_src()->set_ip(bytes(src));
  if (!dst.empty()) event.mutable_dst()->set_ip(bytes(dst));
  event.set_raw(std::string(raw));
  return event;
}

// What a part finds must be shown to it: its filter passes every event that names one of its
// indicators.
void ExpectShown(const IndicatorMatcher& matcher, const event::v1::Event& event) {
  for (const auto& named : matcher.Find(event)) {
    bool shown = false;
    for (const auto& part : matcher.parts()) {
      if (named.indicator < part.first || named.indicator >= part.last) continue;
      const auto filter = filter::Filter::Parse(part.filter, filter::EventSchema());
      ASSERT_THAT(filter, IsOk());
      shown = filter->Matches(event);
    }
    EXPECT_TRUE(shown) << matcher.indicators()[named.indicator].shown << " in "
                       << event.ShortDebugString();
  }
}

std::vector<std::string> Named(const IndicatorMatcher& matcher, const event::v1::Event& event) {
  ExpectShown(matcher, event);
  std::vector<std::string> names;
  for (const auto& one : matcher.Find(event)) {
    names.push_back(matcher.indicators()[one.indicator].shown + "@" + std::string(one.field));
  }
  return names;
}

TEST(Indicators, FindsWhatAnEventNamesAndNothingElse) {
  const IndicatorMatcher matcher(
      *ParseIndicators("evil.example\n198.51.100.7\n203.0.113.0/24\nhttp://bad.example/x\n"
                       "44d88612fea8a8f36de82e1278abb02f\n"));
  EXPECT_THAT(Named(matcher, EventWith("198.51.100.7", "10.0.0.1", "")),
              ElementsAre("198.51.100.7@src.ip"));
  EXPECT_THAT(Named(matcher, EventWith("10.0.0.1", "203.0.113.200", "")),
              ElementsAre("203.0.113.0/24@dst.ip"));
  EXPECT_THAT(Named(matcher, EventWith("198.51.100.70", "203.0.114.1", "")), IsEmpty());
  EXPECT_THAT(Named(matcher, EventWith("", "", "qname=www.EVIL.example. type=A")),
              ElementsAre("evil.example@raw"));
  EXPECT_THAT(Named(matcher, EventWith("", "", "通信先evil.exampleへ")),
              ElementsAre("evil.example@raw"));
  EXPECT_THAT(Named(matcher, EventWith("", "", "notevil.example evil.example.org")), IsEmpty());
  EXPECT_THAT(Named(matcher, EventWith("", "", "GET http://Bad.example/x?y")),
              ElementsAre("http://bad.example/x@raw"));
  EXPECT_THAT(Named(matcher, EventWith("", "", "GET http://bad.example/y")), IsEmpty());
  EXPECT_THAT(Named(matcher, EventWith("", "", "Hashes=MD5=44D88612FEA8A8F36DE82E1278ABB02F,X")),
              ElementsAre("44d88612fea8a8f36de82e1278abb02f@raw"));
  EXPECT_THAT(Named(matcher, EventWith("", "", "a44d88612fea8a8f36de82e1278abb02f")), IsEmpty());
  auto split = EventWith("", "", "");
  split.mutable_dst()->set_host("bad.example");
  split.set_url("/x/y");
  EXPECT_THAT(Named(matcher, split), ElementsAre("http://bad.example/x@url"));
  auto both = EventWith("198.51.100.7", "203.0.113.1", "to evil.example");
  EXPECT_THAT(Named(matcher, both), SizeIs(3));
}

TEST(Indicators, ManyBecomeQuestionsOfBoundedSize) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += fmt::format("2001:db8::{:x}\nhost-with-a-name-{}.evil.example\n", i + 1, i);
  }
  const IndicatorMatcher matcher(*ParseIndicators(text));
  size_t covered = 0;
  for (const auto& part : matcher.parts()) {
    EXPECT_EQ(part.first, covered);
    covered = part.last;
    EXPECT_LE(part.filter.size(), 5'000u);
    EXPECT_THAT(filter::Filter::Parse(part.filter, filter::EventSchema()), IsOk());
  }
  EXPECT_EQ(covered, 2000u);
  EXPECT_THAT(Named(matcher, EventWith("", "", "x host-with-a-name-999.evil.example y")),
              SizeIs(1));
}

}  // namespace
}  // namespace yagura::detection
