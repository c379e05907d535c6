#include "services/store/chdb.h"

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include <optional>

#include "gtest/gtest.h"

namespace yagura::storeserver {
namespace {

// Puts a variable back as it was.
class WithoutVariable {
 public:
  explicit WithoutVariable(const char* name) : name_(name) {
    if (const char* value = getenv(name); value != nullptr) before_ = value;
    unsetenv(name);
  }
  ~WithoutVariable() {
    if (before_) setenv(name_, before_->c_str(), 1);
  }
  WithoutVariable(const WithoutVariable&) = delete;
  WithoutVariable& operator=(const WithoutVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

// As under systemd without User=.
TEST(LibraryPlaces, WithoutHomeTheUsersCacheIsFoundByTheUsersEntry) {
  const WithoutVariable named("YAGURA_LIBCHDB");
  const WithoutVariable cache("XDG_CACHE_HOME");
  const WithoutVariable home("HOME");
  const passwd* user = getpwuid(geteuid());
  if (user == nullptr) GTEST_SKIP() << "this user has no entry";
  const auto places = LibraryPlaces("");
  ASSERT_FALSE(places.empty());
  EXPECT_EQ(places[0].string().find(std::string(user->pw_dir) + "/.cache/yagura/chdb/"), 0u)
      << places[0];
}

}  // namespace
}  // namespace yagura::storeserver
