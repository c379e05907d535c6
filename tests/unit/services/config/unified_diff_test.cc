#include "services/config/domain/unified_diff.h"

#include <random>

#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/testing/status_matchers.h"

namespace yagura::config {
namespace {

TEST(UnifiedDiff, IsWhatDiffUPrints) {
  const UnifiedDiff diff = DiffLines("a\nb\nc\nd\ne\nf\n", "a\nb\nX\nd\ne\nf\ng\n", "old", "new");
  EXPECT_EQ(diff.text, "--- old\n+++ new\n@@ -1,6 +1,7 @@\n a\n b\n-c\n+X\n d\n e\n f\n+g\n");
  EXPECT_EQ(diff.added, 2);
  EXPECT_EQ(diff.removed, 1);
}

TEST(UnifiedDiff, IsEmptyForEqualTexts) {
  EXPECT_EQ(DiffLines("same\n", "same\n", "a", "b").text, "");
}

TEST(UnifiedDiff, TellsAMissingLastNewline) {
  EXPECT_EQ(DiffLines("x\n", "x", "a", "b").text,
            "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+x\n\\ No newline at end of file\n");
}

TEST(UnifiedDiff, BoundsItsWorkOnTextsThatHaveNothingInCommon) {
  std::string a;
  std::string b;
  for (int i = 0; i < 50'000; ++i) {
    a += "a" + std::to_string(i) + "\n";
    b += "b" + std::to_string(i) + "\n";
  }
  const UnifiedDiff diff = DiffLines(a, b, "a", "b");
  EXPECT_EQ(diff.added, 50'000);
  EXPECT_EQ(*ApplyPatch("p", a, diff.text), b);
}

TEST(UnifiedDiff, AppliedToItsBaseGivesTheOtherText) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    const auto make = [&] {
      std::string text;
      const int lines = static_cast<int>(random() % 30);
      for (int i = 0; i < lines; ++i) text += std::string(1, "abcde\n"[random() % 6]) + "\n";
      if (random() % 4 == 0) text += "end";
      return text;
    };
    const std::string base = make();
    const std::string other = make();
    const UnifiedDiff diff = DiffLines(base, other, "base", "other");
    if (base == other) continue;
    const auto patched = ApplyPatch("patch", base, diff.text);
    ASSERT_THAT(patched, testing::IsOk()) << diff.text;
    ASSERT_EQ(*patched, other) << diff.text;
  }
}

TEST(UnifiedDiff, RefusesPatchesThatDoNotFitExactly) {
  const std::string base = "a\nb\nc\n";
  for (const char* patch :
       {"", "nonsense", "@@ -1 +1 @@\n-x\n+y\n", "@@ -1,9 +1 @@\n-a\n", "@@ -9 +9 @@\n-a\n",
        "@@ -1 +1 @@\n-a\n+b\n+c\n", "@@ -0,1 +1 @@\n-a\n",
        "@@ -18446744073709551615,1 +1 @@\n-a\n", "@@ -2 +2 @@\n-b\n+B\n@@ -1 +1 @@\n-a\n+A\n"}) {
    EXPECT_THAT(ApplyPatch("patch", base, patch),
                testing::StatusIs(absl::StatusCode::kInvalidArgument))
        << patch;
  }
}

}  // namespace
}  // namespace yagura::config
