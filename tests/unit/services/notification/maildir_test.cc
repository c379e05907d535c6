#include "services/notification/transport/maildir.h"

#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::notification {
namespace {

namespace fs = std::filesystem;

class MaildirTest : public ::testing::Test {
 protected:
  ~MaildirTest() override { fs::remove_all(folder_); }
  std::vector<fs::path> Files(const char* part) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_ / part)) files.push_back(entry.path());
    return files;
  }
  const fs::path folder_ = testing::MakeTemporaryFolder();
};

TEST_F(MaildirTest, PutsAMailIntoNew) {
  ASSERT_OK_AND_ASSIGN(auto maildir, NewMaildirTransport(folder_));
  EXPECT_EQ(maildir->Send("a@example.com", "text", "1@test", {}).result, v1::ACCEPTED);
  ASSERT_EQ(Files("new").size(), 1u);
  EXPECT_TRUE(Files("tmp").empty());
  std::ostringstream content;
  content << std::ifstream(Files("new")[0]).rdbuf();
  EXPECT_EQ(content.str(), "text");
}

TEST_F(MaildirTest, ARepeatIsNoSecondMailEvenAfterItWasRead) {
  ASSERT_OK_AND_ASSIGN(auto maildir, NewMaildirTransport(folder_));
  EXPECT_EQ(maildir->Send("a@example.com", "text", "1@test", {}).result, v1::ACCEPTED);
  const fs::path file = Files("new")[0];
  fs::rename(file, folder_ / "cur" / (file.filename().string() + ":2,S"));
  EXPECT_EQ(maildir->Send("a@example.com", "text", "1@test", {}).result, v1::ACCEPTED);
  EXPECT_TRUE(Files("new").empty());
  EXPECT_EQ(maildir->Send("a@example.com", "text", "2@test", {}).result, v1::ACCEPTED);
  EXPECT_EQ(Files("new").size(), 1u);
}

TEST_F(MaildirTest, AFolderThatCannotBeWrittenIsATemporaryFailure) {
  ASSERT_OK_AND_ASSIGN(auto maildir, NewMaildirTransport(folder_));
  fs::remove_all(folder_ / "tmp");
  EXPECT_EQ(maildir->Send("a@example.com", "text", "1@test", {}).result, v1::TEMPORARY_FAILURE);
}

}  // namespace
}  // namespace yagura::notification
