#include "common/log/log.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string ReadFile(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(Logger, WritesOneJsonObjectALineWhateverTheTextHolds) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("yagura_log_test_" + std::to_string(getpid()) + ".log");
  const Logger logger = Logger::ToFile(path.string()).Named("archive/writer");
  logger.Info("stored \"all\"\n", {{"rows", 3}, {"raw", "\x1b[2J"}});
  logger.Debug("below the threshold");
  const std::string text = ReadFile(path);
  EXPECT_THAT(text, AllOf(HasSubstr(R"("level":"info","part":"archive/writer")"),
                          HasSubstr(R"("msg":"stored \"all\"\n")"), HasSubstr(R"("rows":"3")"),
                          HasSubstr(R"("raw":"\u001b[2J")"), Not(HasSubstr("below"))));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace yagura
