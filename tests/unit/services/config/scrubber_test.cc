#include "services/config/domain/scrubber.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/blob/blob_store.h"
#include "common/status/status.h"
#include "common/testing/status_matchers.h"

namespace yagura::config {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Scrubbed Scrub(std::string_view text) {
  static const Scrubber scrubber;
  auto result = scrubber.Scrub(text, [](std::string_view secret) -> StatusOr<std::string> {
    return blob::DigestOf(secret).substr(0, 16);
  });
  EXPECT_THAT(result, testing::IsOk());
  return *result;
}

struct Case {
  const char* line;
  const char* secret;
};

class SecretsTest : public ::testing::TestWithParam<Case> {};

TEST_P(SecretsTest, AreTakenOutAndComeBack) {
  const std::string text = std::string("before\n") + GetParam().line + "\nafter\n";
  const Scrubbed scrubbed = Scrub(text);
  EXPECT_THAT(scrubbed.text, Not(HasSubstr(GetParam().secret)));
  EXPECT_THAT(scrubbed.text, HasSubstr("<secret:"));
  EXPECT_THAT(scrubbed.text, HasSubstr("before\n"));
  EXPECT_THAT(scrubbed.text, HasSubstr("\nafter\n"));
  EXPECT_EQ(*RestoreSecrets("f", scrubbed.text, scrubbed.secrets), text);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, SecretsTest,
    ::testing::Values(
        Case{"password hunter2", "hunter2"}, Case{"username admin password 7 0822455D0A16", "0822"},
        Case{"enable secret 5 $1$mERr$hx5rVt7rPNoS4wqbXKX7m0", "mERr"},
        Case{"    set psksecret ENC AbCd+/12==", "AbCd"}, Case{"  set passwd \"a b\\\"c\"", "a b"},
        Case{"snmp-server community s3cr3t RO", "s3cr3t"}, Case{"pre-shared-key = xyzzy;", "xyzzy"},
        Case{"url https://bob:sesame@example.com/x", "sesame"},
        Case{"api_key: 0123abcd", "0123abcd"}, Case{"root:$6$salt$abcdefghijklmnop:1", "abcdefgh"},
        Case{"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA\nAAAA\n-----END OPENSSH PRIVATE "
             "KEY-----",
             "b3BlbnNzaA"},
        Case{"tcp dport 22 accept comment \"password: swordfish\"", "swordfish"},
        Case{"literal <secret:0123456789abcdef> in the device's own text", "0123456789abcdef"}));

TEST(Scrubber, LeavesOrdinaryRulesAlone) {
  const std::string rules =
      "table inet filter {\n\tchain input {\n\t\ttcp dport 22 accept comment \"admins\"\n\t}\n}\n";
  EXPECT_EQ(Scrub(rules).text, rules);
}

TEST(Scrubber, ShowsThatASecretChangedWithoutShowingIt) {
  EXPECT_NE(Scrub("password one").text, Scrub("password two").text);
  EXPECT_EQ(Scrub("password one").text, Scrub("password one").text);
}

TEST(Scrubber, RefusesMarksThatAreNotOfTheBase) {
  EXPECT_THAT(RestoreSecrets("candidate", "a\nkey <secret:0123456789abcdef>\n", {}),
              testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(*RestoreSecrets("candidate", "<secret:short> <secret:", {}), "<secret:short> <secret:");
}

TEST(Scrubber, StaysQuickOnHostileText) {
  EXPECT_FALSE(Scrub(std::string(2 << 20, 'a') + " password x").secrets.empty());
  std::string nested;
  for (int i = 0; i < 100'000; ++i) nested += "password \"\\";
  Scrub(nested);
}

}  // namespace
}  // namespace yagura::config
