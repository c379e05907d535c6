#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "cli/commands/command.h"
#include "cli/offline_lines.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;

class ParseTest : public ::testing::Test {
 protected:
  // What `yagura parse` writes of the lines.
  std::string Parse(const std::string& lines, std::vector<std::string> words,
                    const std::string& output = "table") const {
    std::ofstream(folder_.path() / "lines", std::ios::binary) << lines;
    CLI::App app;
    app.require_subcommand(1);
    Globals globals;
    globals.output = output;
    Program program(app, globals);
    AddParseCommand(program);
    words.insert(words.begin(), {"parse", folder_.path() / "lines", "--content",
                                 std::filesystem::path(getenv("YAGURA_SOURCE_DIR")) / "content"});
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
    EXPECT_THAT(program.status(), IsOk());
    ::testing::internal::GetCapturedStderr();
    return ::testing::internal::GetCapturedStdout();
  }

  const testing::TemporaryFolder folder_;
};

TEST_F(ParseTest, LinesAreReadInTheirCharacterSet) {
  const std::string line = "<13>Nov 23 10:00:00 fw app: shown=\x95\x5c\x8e\xa6\n";  // code page 932
  const std::string known =
      Parse(line, {"--charset", "shift_jis", "--received", "2026-11-23T10:00:00Z"}, "jsonl");
  EXPECT_THAT(known, HasSubstr("\"表示\""));
  EXPECT_THAT(known, Not(HasSubstr("PARTLY_PARSED")));
  const std::string unknown = Parse(line, {"--received", "2026-11-23T10:00:00Z"}, "jsonl");
  EXPECT_THAT(unknown, Not(HasSubstr("表示")));
  EXPECT_THAT(unknown, HasSubstr("PARTLY_PARSED"));
}

TEST_F(ParseTest, WhatIsWrongWithALineIsInTheTable) {
  const std::string text = Parse(
      "<13>Nov 23 10:00:00 fw app: good\n"
      "<13>2020-01-02T10:00:00Z fw app: old\n"
      "<13>Nov 23 10:00:00 fw app: " +
          std::string(70'000, 'x') + "\n",
      {"--received", "2026-11-23T10:00:00Z"});
  EXPECT_THAT(text, HasSubstr("2020-01-02T10:00:00Z"));
  const auto count = [&text](std::string_view word) {
    size_t found = 0;
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
      ++found;
    }
    return found;
  };
  EXPECT_EQ(count("(CLOCK_ERROR)"), 1u) << text;
  EXPECT_EQ(count("(TRUNCATED)"), 1u) << text;
}

TEST_F(ParseTest, ParsersThatASourceMayHaveAreKnownByName) {
  const auto names = KnownParsers();
  EXPECT_THAT(names, Contains("auto"));
  EXPECT_THAT(names, Contains("fortigate"));
  EXPECT_THAT(names, Contains("dns_dhcp"));  // a described one
}

}  // namespace
}  // namespace yagura::cli
