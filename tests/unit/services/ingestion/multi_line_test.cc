// Lines that belong together: stack traces, statements over many lines, and what has no end.
#include "services/ingestion/domain/multi_line.h"

#include <vector>

#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::ingestion {
namespace {

using testing::StatusIs;

struct Joined {
  std::string text;
  bool truncated;
  bool operator==(const Joined&) const = default;
};

void PrintTo(const Joined& joined, std::ostream* out) {
  *out << (joined.truncated ? "cut " : "") << joined.text;
}

std::shared_ptr<const MultiLineRule> Start(const char* pattern, MultiLineOptions options = {}) {
  options.start = pattern;
  return MultiLineRule::Make(options).value();
}
std::shared_ptr<const MultiLineRule> Continuation(const char* pattern) {
  MultiLineOptions options;
  options.continuation = pattern;
  return MultiLineRule::Make(options).value();
}

std::vector<Joined> Join(const std::shared_ptr<const MultiLineRule>& rule, std::string_view text) {
  std::vector<Joined> events;
  LineJoiner joiner(rule);
  const auto sink = [&](std::string_view event, bool truncated) {
    events.push_back({std::string(event), truncated});
  };
  ForEachLineOf(text, [&](std::string_view line) { joiner.Add(line, false, sink); });
  joiner.Flush(sink);
  return events;
}

TEST(MultiLineTest, AJavaStackTraceByItsContinuation) {
  const std::string trace =
      "22-Nov-2026 10:00:01.123 SEVERE [main] com.example.Shop order failed\n"
      "java.lang.IllegalStateException: no stock\n"
      "\tat com.example.Stock.take(Stock.java:42)\n"
      "\t... 12 more\n"
      "Caused by: java.io.IOException: gone\n"
      "\tat com.example.Disk.read(Disk.java:7)";
  const std::string next = "22-Nov-2026 10:00:02.000 INFO [main] com.example.Shop next";
  const auto rule = Continuation("^(\\s|Caused by:|[\\w.]+(Exception|Error)\\b)");
  EXPECT_EQ(Join(rule, trace + "\n" + next + "\n"),
            (std::vector<Joined>{{trace, false}, {next, false}}));
}

TEST(MultiLineTest, APostgresStatementByItsStart) {
  const std::string error =
      "2026-11-22 10:00:01.123 UTC [4711] alice@shop ERROR:  relation \"x\" does not exist\n"
      "\tat character 15\n"
      "\n"
      "\tsecond paragraph";
  const std::string statement =
      "2026-11-22 10:00:01.123 UTC [4711] alice@shop STATEMENT:  SELECT *\n"
      "\tFROM x\n"
      "\tWHERE id = 1;";
  const auto rule = Start("^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d");
  EXPECT_EQ(Join(rule, error + "\r\n" + statement + "\n\n"),
            (std::vector<Joined>{{error, false}, {statement, false}}));
}

TEST(MultiLineTest, WhatBeginsInTheMiddleIsKept) {
  EXPECT_EQ(Join(Start("^A"), "\n\tat\nA one\n"),
            (std::vector<Joined>{{"\tat", false}, {"A one", false}}));
}

TEST(MultiLineTest, TooLongEventsAreCutWithTheMarkAndNothingIsDropped) {
  MultiLineOptions options;
  options.max_lines = 3;
  EXPECT_EQ(Join(Start("^A", options), "A\n1\n2\n3\n4\nA\n"),
            (std::vector<Joined>{{"A\n1\n2", true}, {"3\n4", false}, {"A", false}}));
  options.max_bytes = 5;
  EXPECT_EQ(Join(Start("^A", options), "A\n12\n34\n"),
            (std::vector<Joined>{{"A\n12", true}, {"34", false}}));
  // A pattern that never fits: pieces, all of them there.
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "line\n";
  size_t lines = 0;
  for (const Joined& event : Join(Start("^never"), text)) {
    lines += 1 + static_cast<size_t>(std::count(event.text.begin(), event.text.end(), '\n'));
  }
  EXPECT_EQ(lines, 1000u);
}

TEST(MultiLineTest, TheLastEventMayGoOn) {
  const auto rule = Start("^A");
  EXPECT_EQ(WholeEventBytes("A one\n\tat\nA two\n", rule), 10u);
  EXPECT_EQ(WholeEventBytes("A one\n\tat\n", rule), 0u);
  EXPECT_EQ(WholeEventBytes("\n\nA one\n", rule), 2u);
  EXPECT_EQ(WholeEventBytes("", rule), 0u);
}

TEST(MultiLineTest, ARuleHasOnePatternThatCompiles) {
  MultiLineOptions options;
  EXPECT_THAT(MultiLineRule::Make(options).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  options.start = "(";
  EXPECT_THAT(MultiLineRule::Make(options).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  options.start = "a";
  options.continuation = "b";
  EXPECT_THAT(MultiLineRule::Make(options).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(MultiLineTest, BytesThatAreNoUtf8Match) { EXPECT_TRUE(Start("^\\[.\\]")->Begins("[\x83]")); }

}  // namespace
}  // namespace yagura::ingestion
