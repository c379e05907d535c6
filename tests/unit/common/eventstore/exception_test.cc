#include "common/eventstore/exception.h"

#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::eventstore {
namespace {

using testing::StatusIs;

TEST(ExceptionFinder, FindsTheExceptionWhereverTheNetCutsIt) {
  const std::string result = "row\r\nrow\r\n__exception__\r\nother\r\n";
  const std::string body =
      result + FramedException("abcdefghijklmnop", "Code: 395. DB::Exception: x");
  for (size_t piece = 1; piece <= body.size(); ++piece) {
    ExceptionFinder finder("abcdefghijklmnop");
    std::string got;
    for (size_t at = 0; at < body.size(); at += piece) {
      finder.Feed(std::string_view(body).substr(at, piece), &got);
    }
    finder.Finish(&got);
    ASSERT_EQ(got, result) << "pieces of " << piece;
    ASSERT_TRUE(finder.found());
    EXPECT_EQ(finder.text(), "Code: 395. DB::Exception: x");
  }
}

TEST(ExceptionFinder, GivesBackEverythingWhereThereIsNone) {
  const std::string body = "a\r\n__exception__\r\nwrongtag\r\nb\r";
  ExceptionFinder finder("tag");
  std::string got;
  for (const char c : body) finder.Feed({&c, 1}, &got);
  finder.Finish(&got);
  EXPECT_EQ(got, body);
  EXPECT_FALSE(finder.found());
}

TEST(Exception, HasReasonAndNumber) {
  const Status status = FromException(241, "Code: 241. DB::Exception: memory");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE"));
  EXPECT_EQ(GetErrorMetadata(status)["clickhouse_code"], "241");
  EXPECT_EQ(ExceptionCode("Code: 62. DB::Exception: Syntax"), 62);
  EXPECT_EQ(ExceptionCode("nothing"), 0);
}

}  // namespace
}  // namespace yagura::eventstore
