#include "common/auth/token.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::auth {
namespace {

using std::chrono::seconds;

class SetClock final : public Clock {
 public:
  TimePoint Now() const override { return now; }
  SteadyTime SteadyNow() const override { return {}; }
  TimePoint now{seconds(1'800'000'000)};
};

class TokenTest : public testing::Test {
 protected:
  TokenTest() { verifier.Trust("yagura", key.public_key()); }

  std::string Signed(std::string_view header, std::string_view claims) const {
    const std::string message = Base64UrlEncode(header) + "." + Base64UrlEncode(claims);
    return message + "." + Base64UrlEncode(key.Sign(message));
  }
  std::string Header() const {
    return R"({"alg":"EdDSA","typ":"JWT","kid":")" + key.key_id() + R"("})";
  }
  std::string Reason(std::string_view token) const {
    auto principal = verifier.Verify(token);
    if (principal.ok()) return "";
    EXPECT_EQ(principal.status().code(), absl::StatusCode::kUnauthenticated);
    return ErrorReason(principal.status());
  }

  std::shared_ptr<SetClock> clock = std::make_shared<SetClock>();
  SigningKey key = SigningKey::Generate();
  TokenIssuer issuer{key, "yagura", clock};
  TokenVerifier verifier{clock};
  Principal alice{"tenants/acme/users/alice",
                  {{"engineer", false, {"acme", "globex"}}, {"viewer", true, {}}},
                  "",
                  {}};
};

TEST_F(TokenTest, WhatIsIssuedIsVerifiedAsTheSamePrincipal) {
  auto principal = verifier.Verify(issuer.Issue(alice, seconds(600)));
  ASSERT_TRUE(principal.ok()) << principal.status();
  EXPECT_EQ(principal->name, alice.name);
  ASSERT_EQ(principal->grants.size(), 2u);
  EXPECT_EQ(principal->grants[0].tenants, alice.grants[0].tenants);
  EXPECT_TRUE(principal->grants[1].all_tenants);
  EXPECT_EQ(principal->expires, clock->now + seconds(600));
}

TEST_F(TokenTest, ATokenEndsAtItsExpiryWithThirtySecondsOfSkew) {
  const std::string token = issuer.Issue(alice, seconds(60));
  clock->now += seconds(89);
  EXPECT_EQ(Reason(token), "");
  clock->now += seconds(1);
  EXPECT_EQ(Reason(token), "TOKEN_EXPIRED");
}

TEST_F(TokenTest, ATokenOfTheFutureIsRefused) {
  const std::string token = issuer.Issue(alice, seconds(600));
  clock->now -= seconds(30);
  EXPECT_EQ(Reason(token), "");
  clock->now -= seconds(1);
  EXPECT_EQ(Reason(token), "TOKEN_INVALID");
}

TEST_F(TokenTest, EveryChangedByteIsRefused) {
  const std::string token = issuer.Issue(alice, seconds(600));
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_EQ(Reason(changed), "TOKEN_INVALID") << i;
  }
}

TEST_F(TokenTest, TheGateIsAskedBeforeASignatureOfATrustedKeyAlone) {
  std::vector<std::string> asked;
  const VerifyGate gate = [&asked](std::string_view key_id) {
    asked.emplace_back(key_id);
    return absl::ResourceExhaustedError("later");
  };
  const auto stranger = TokenIssuer(SigningKey::Generate(), "yagura", clock);
  EXPECT_EQ(verifier.Verify(stranger.Issue(alice, seconds(60)), gate).status().code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(asked.empty());
  EXPECT_EQ(verifier.Verify(issuer.Issue(alice, seconds(60)), gate).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(asked, testing::ElementsAre(key.key_id()));
}

TEST_F(TokenTest, KeysBelongToOneIssuer) {
  TokenIssuer other(key, "yagura-internal", clock);
  EXPECT_EQ(Reason(other.Issue({"services/x", {}, "", {}}, seconds(60))), "TOKEN_INVALID");
  const SigningKey second = SigningKey::Generate();
  const std::string token = TokenIssuer(second, "yagura", clock).Issue(alice, seconds(60));
  EXPECT_EQ(Reason(token), "TOKEN_INVALID");
  verifier.Trust("yagura", second.public_key());
  EXPECT_EQ(Reason(token), "");
  EXPECT_EQ(Reason(issuer.Issue(alice, seconds(60))), "") << "keys overlap while they rotate";
}

TEST_F(TokenTest, AKeyThatIsNotNamedAnyMoreIsNotTrustedAnyMore) {
  const SigningKey second = SigningKey::Generate();
  const auto generation = verifier.generation();
  verifier.TrustOnly("yagura", {key.public_key(), second.public_key()});
  EXPECT_EQ(Reason(issuer.Issue(alice, seconds(60))), "");
  EXPECT_EQ(verifier.generation(), generation) << "nothing that was accepted is refused now";
  verifier.TrustOnly("yagura", {second.public_key()});
  EXPECT_EQ(Reason(issuer.Issue(alice, seconds(60))), "TOKEN_INVALID");
  EXPECT_EQ(Reason(TokenIssuer(second, "yagura", clock).Issue(alice, seconds(60))), "");
  EXPECT_NE(verifier.generation(), generation);
}

TEST_F(TokenTest, WhatWasIssuedBeforeARevocationIsRefused) {
  const std::string before = issuer.Issue(alice, seconds(3600));
  clock->now += std::chrono::microseconds(1);
  verifier.Revoke(alice.name, clock->now);
  EXPECT_EQ(Reason(before), "TOKEN_REVOKED");
  EXPECT_EQ(Reason(issuer.Issue(alice, seconds(3600))), "");
  verifier.Revoke(alice.name, clock->now - seconds(60));
  EXPECT_EQ(Reason(before), "TOKEN_REVOKED") << "an older one takes nothing back";
  Principal bob = alice;
  bob.name = "tenants/acme/users/bob";
  EXPECT_EQ(Reason(issuer.Issue(bob, seconds(60))), "");
  Principal slow = alice;
  slow.issued = clock->now - std::chrono::microseconds(1);
  EXPECT_EQ(Reason(issuer.Issue(slow, seconds(60))), "TOKEN_REVOKED")
      << "a log-in counts from its beginning";
}

TEST_F(TokenTest, OnlyTheInternalIssuerMakesServicesAndItMakesNothingElse) {
  verifier.Trust("yagura-internal", key.public_key());
  TokenIssuer internal(key, "yagura-internal", clock);
  const Principal service{"services/detection", {{"service", true, {}}}, "", {}};
  EXPECT_EQ(Reason(internal.Issue(service, seconds(60))), "");
  EXPECT_EQ(Reason(internal.Issue(service, seconds(3600))), "TOKEN_INVALID");
  EXPECT_EQ(Reason(internal.Issue(alice, seconds(60))), "TOKEN_INVALID");
  EXPECT_EQ(Reason(issuer.Issue(service, seconds(60))), "TOKEN_INVALID");
  Principal pretender = alice;
  pretender.grants = {{"service", true, {}}};
  EXPECT_EQ(Reason(issuer.Issue(pretender, seconds(60))), "TOKEN_INVALID");
}

TEST_F(TokenTest, OnlyOurOwnKindOfHeaderIsRead) {
  const std::string claims =
      R"({"iss":"yagura","sub":"tenants/a/users/u","iat":1800000000,"nbf":1800000000,"exp":1800000600,"grants":[]})";
  EXPECT_EQ(Reason(Signed(Header(), claims)), "");
  const std::string kid = "\"kid\":\"" + key.key_id() + "\"";
  for (const std::string& header :
       {R"({"alg":"none","typ":"JWT",)" + kid + "}", R"({"alg":"HS256","typ":"JWT",)" + kid + "}",
        R"({"alg":"EdDSA","typ":"JWT"})" + std::string(),
        R"({"alg":"EdDSA","typ":"JWT","crit":["x"],)" + kid + "}",
        R"({"alg":"none","alg":"EdDSA","typ":"JWT",)" + kid + "}", std::string("[]"),
        std::string("")}) {
    EXPECT_EQ(Reason(Signed(header, claims)), "TOKEN_INVALID") << header;
  }
}

TEST_F(TokenTest, ClaimsMustBeCompleteAndWellFormed) {
  for (
      const char* claims :
      {R"({"iss":"yagura","sub":"u","iat":1800000000,"nbf":1800000000,"grants":[]})",
       R"({"iss":"yagura","sub":"u","iat":1800000000,"nbf":1800000000,"exp":"1800000600"})",
       R"({"iss":"yagura","sub":"u","iat":1800000000,"nbf":1800000000,"exp":99999999999999})",
       R"({"iss":"yagura","iat":1800000000,"nbf":1800000000,"exp":1800000600})",
       R"({"iss":"yagura","sub":"u","sub":"v","iat":1800000000,"nbf":1800000000,"exp":1800000600})",
       R"({"iss":"yagura","sub":"u","iat":1800000000,"nbf":1800000000,"exp":1800000600,"grants":[{}]})",
       R"({"iss":"yagura","sub":"u","iat":1800000000,"nbf":1800000000,"exp":1800000600,"grants":[{"role":"admin","tenants":["-"]}]})",
       R"({"iss":"yagura")", "null"}) {
    EXPECT_EQ(Reason(Signed(Header(), claims)), "TOKEN_INVALID") << claims;
  }
}

TEST_F(TokenTest, WhatIsTooLongOrNoTokenAtAllIsRefused) {
  EXPECT_EQ(Reason(""), "TOKEN_INVALID");
  EXPECT_EQ(Reason("a.b"), "TOKEN_INVALID");
  EXPECT_EQ(Reason(std::string(8193, 'a')), "TOKEN_INVALID");
  Principal many = alice;
  for (int i = 0; i < 2000; ++i) many.grants[0].tenants.insert("tenant-" + std::to_string(i));
  EXPECT_EQ(Reason(issuer.Issue(many, seconds(60))), "TOKEN_INVALID");
}

TEST(SigningKeyTest, AKeyIsMadeOnceAndReadAgain) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("yagura-key-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto file = folder / "key";
  auto first = SigningKey::LoadOrCreate(file);
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat info {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  auto second = SigningKey::LoadOrCreate(file);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(first->key_id(), second->key_id());
  EXPECT_EQ(first->key_id().size(), 16u);
  EXPECT_TRUE(VerifySignature(first->public_key(), "text", second->Sign("text")));
  EXPECT_FALSE(VerifySignature(first->public_key(), "texs", second->Sign("text")));

  chmod(file.c_str(), 0644);
  EXPECT_EQ(ErrorReason(SigningKey::LoadOrCreate(file).status()), "KEY_FILE_EXPOSED");
  chmod(file.c_str(), 0600);
  std::ofstream(file) << "short";
  EXPECT_EQ(ErrorReason(SigningKey::LoadOrCreate(file).status()), "KEY_FILE_MALFORMED");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace yagura::auth
