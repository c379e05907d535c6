// What must hold for every line there is, checked on messages of 129 products (where the shared
// data is present) and on our generator.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>

#include "gtest/gtest.h"

#include "common/testing/fortigate_lines.h"
#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

namespace v1 = event::v1;

std::filesystem::path DataFolder() {
  if (const char* data = std::getenv("YAGURA_DATA")) return data;
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  return std::filesystem::path(source == nullptr ? "." : source) / "../shared/data";
}

std::vector<std::string> LinesOf(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// An independent, slow reading of name=value and name="value".
Pairs PairsOf(const std::string& line) {
  static const std::regex kPair(
      R"re((?:^|[ >])([A-Za-z_][A-Za-z0-9_-]*)=("(?:[^"\\]|\\.)*"|[^" ][^ ]*|))re");
  Pairs pairs;
  for (std::sregex_iterator match(line.begin(), line.end(), kPair), end; match != end; ++match) {
    std::string value = (*match)[2];
    if (value.size() > 1 && value.front() == '"') {
      value = value.substr(1, value.size() - 2);
      value = std::regex_replace(value, std::regex(R"(\\(["\\]))"), "$1");
    }
    pairs.emplace_back((*match)[1], value);
  }
  return pairs;
}

void ExpectEveryPair(const std::string& line, const v1::Event& event) {
  const Pairs fields = FieldsOf(event);
  for (const auto& pair : PairsOf(line)) {
    EXPECT_NE(std::find(fields.begin(), fields.end(), pair), fields.end())
        << pair.first << "=" << pair.second << " is missing from the event of\n"
        << line;
  }
}

TEST(SharedLinesTest, EveryPairOfAFortinetLineIsAmongTheFields) {
  const auto folder = DataFolder() / "syslog-lines";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no shared data at " << folder;
  int lines = 0;
  for (const char* name : {"fortinet_ngfw.log", "fortinet_web.log"}) {
    for (const std::string& line : LinesOf(folder / name)) {
      const v1::Event event = ParseLine(line);
      if (line.find("date=") == line.npos || line.find("VERSION:") != line.npos) continue;
      EXPECT_EQ(event.product().substr(0, 9), "fortinet.") << line;
      // One of the recorded lines is cut off within a quoted value.
      const bool cut = std::count(line.begin(), line.end(), '"') % 2 != 0;
      EXPECT_EQ(HasFlaw(event, v1::PARTLY_PARSED), cut) << event.parse_error() << "\n" << line;
      EXPECT_FALSE(HasFlaw(event, v1::NO_EVENT_TIME)) << line;
      if (!cut) ExpectEveryPair(line, event);
      ++lines;
    }
  }
  EXPECT_GE(lines, 8);
}

TEST(SharedLinesTest, EveryLineOfEveryProductKeepsItsBytesAndIsRecognised) {
  const auto folder = DataFolder() / "syslog-lines";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no shared data at " << folder;
  int lines = 0;
  int unparsed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".log") continue;
    for (const std::string& line : LinesOf(entry.path())) {
      const v1::Event event = ParseLine(line);
      EXPECT_EQ(event.raw(), line);
      EXPECT_TRUE(event.has_event_time());
      unparsed += HasFlaw(event, v1::UNPARSED);
      if (HasFlaw(event, v1::UNPARSED)) {
        RecordProperty("unparsed", line.substr(0, 100));
      }
      ++lines;
    }
  }
  EXPECT_GT(lines, 500);
  EXPECT_LT(unparsed * 20, lines) << "generic syslog should know nineteen of twenty";
}

TEST(SharedLinesTest, OneScanFindsTheParserThatAskingEachInTurnFinds) {
  const auto folder = DataFolder() / "syslog-lines";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no shared data at " << folder;
  const auto parsers = ShippedParsers();
  const auto& descriptions = parsers->descriptions();
  RecogniserIndex::Scratch scratch;
  TextArena arena;
  SyslogHeader header;
  const SourceZone zone;
  const TimePoint time = At("2026-11-21T00:15:45Z");
  size_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".log") continue;
    for (const std::string& line : LinesOf(entry.path())) {
      arena.Clear();
      ReadSyslogHeader(line, time, zone, arena, &header);
      const LineInput input{line, header, time, zone};
      const auto in_turn =
          std::find_if(descriptions.begin(), descriptions.end(), [&](const auto& description) {
            return std::any_of(
                description->recognisers.begin(), description->recognisers.end(),
                [&](const Recogniser& recogniser) { return recogniser.Holds(input); });
          });
      const auto expected = static_cast<size_t>(in_turn - descriptions.begin());
      ASSERT_EQ(parsers->recognisers().Find(input, scratch), expected) << line;
      found += expected < descriptions.size();
    }
  }
  EXPECT_GT(found, 150u);
}

TEST(SharedLinesTest, ZeekRecordsAreWhole) {
  const auto folder = DataFolder() / "zeek";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no shared data at " << folder;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    for (const std::string& line : LinesOf(entry.path())) {
      const v1::Event event = ParseLine(line);
      ASSERT_EQ(event.product(), "zeek.zeek") << line;
      ASSERT_EQ(event.parse_error(), "") << line;
    }
  }
}

TEST(SharedLinesTest, GeneratedLinesAreUnderstoodAndTheirCountsHold) {
  testing::FortigateLines source;
  testing::FortigateLines::Counts seen;
  for (int i = 0; i < 5000; ++i) {
    const std::string line = source.Next();
    const v1::Event event = ParseLine(line, "2026-09-21T14:30:00Z");
    ASSERT_EQ(event.flaws_size(), 0) << line;
    ExpectEveryPair(line, event);
    seen.denied += event.category() == "traffic" && event.action() == v1::BLOCKED;
    seen.logins_failed += event.action() == v1::LOGON_FAILED;
    seen.logins += event.action() == v1::LOGON;
    seen.intrusions += !event.signature_id().empty();
    seen.sent_bytes += event.bytes_out();
    seen.received_bytes += event.bytes_in();
  }
  EXPECT_EQ(seen.denied, source.counts().denied);
  EXPECT_EQ(seen.logins_failed, source.counts().logins_failed);
  EXPECT_EQ(seen.logins, source.counts().logins);
  EXPECT_EQ(seen.intrusions, source.counts().intrusions);
  EXPECT_EQ(seen.sent_bytes, source.counts().sent_bytes);
  EXPECT_EQ(seen.received_bytes, source.counts().received_bytes);
}

}  // namespace
}  // namespace yagura::ingestion
