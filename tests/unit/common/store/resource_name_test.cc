#include "common/store/resource_name.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::store {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

TEST(ResourceNameTest, AnIdHasLowerCaseLettersDigitsAndInnerHyphens) {
  for (const char* good : {"a", "9", "acme", "acme-2", "01hxyz", "a--b"}) {
    EXPECT_TRUE(IsValidId(good)) << good;
  }
  for (const char* bad : {"", "-", "-a", "a-", "A", "a b", "a/b", "a.b", "a_b", "ä", "a\n", "*"}) {
    EXPECT_FALSE(IsValidId(bad)) << bad;
  }
  EXPECT_TRUE(IsValidId(std::string(63, 'a')));
  EXPECT_FALSE(IsValidId(std::string(64, 'a')));
  EXPECT_FALSE(IsValidId(std::string_view("a\0b", 3)));
}

TEST(ResourceNameTest, TheTenantIsTheIdBehindTheFirstSlash) {
  EXPECT_THAT(TenantOf("tenants/acme"), Optional(std::string_view("acme")));
  EXPECT_THAT(TenantOf("tenants/acme/assets/a"), Optional(std::string_view("acme")));
  EXPECT_THAT(TenantOf("tenants/-"), Optional(std::string_view("-")));
  for (const char* bad : {"", "tenants", "tenants/", "tenants//x", "tenant/a", "Tenants/a",
                          "tenants/{acme}", "tenants/a}b"}) {
    EXPECT_EQ(TenantOf(bad), std::nullopt) << bad;
  }
}

TEST(ResourceNameTest, APatternTakesANameApartAndPutsItTogether) {
  const NamePattern pattern("tenants/{tenant}/tickets/{ticket}/comments/{comment}");
  EXPECT_THAT(pattern.Match("tenants/a/tickets/b/comments/c"),
              Optional(ElementsAre("a", "b", "c")));
  for (const char* bad : {"tenants/a/tickets/b", "tenants/a/tickets/b/comments/", "x",
                          "tenants/-/tickets/b/comments/c", "tenants/a/tickets/b/comments/c/d",
                          "/tenants/a/tickets/b/comments/c"}) {
    EXPECT_EQ(pattern.Match(bad), std::nullopt) << bad;
    EXPECT_THAT(pattern.Parse(bad, "name"), testing::StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(pattern.Format({"a", "b", "c"}), "tenants/a/tickets/b/comments/c");
  EXPECT_EQ(LastId("tenants/a/tickets/b"), "b");
}

TEST(ResourceNameTest, UlidsAreIdsThatDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewUlid();
    EXPECT_EQ(id.size(), 26u);
    EXPECT_TRUE(IsValidId(id));
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

}  // namespace
}  // namespace yagura::store
