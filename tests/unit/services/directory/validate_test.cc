#include "services/directory/domain/validate.h"

#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"
#include "common/text/text.h"
#include "services/directory/storage/password_hasher.h"

namespace yagura::directory {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

template <typename M>
void ExpectBad(M message, std::string_view field) {
  const absl::Status status = Normalize(message);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << field;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(field)));
}

TEST(ValidateTest, ATenantGetsItsDefaults) {
  v1::Tenant tenant;
  tenant.set_display_name("Acme");
  ASSERT_THAT(Normalize(tenant), IsOk());
  EXPECT_EQ(tenant.time_zone(), "Asia/Tokyo");
  EXPECT_EQ(tenant.language(), "ja");
  EXPECT_EQ(tenant.retention_days(), 400);
  EXPECT_EQ(tenant.flow_retention_days(), 400);
  EXPECT_EQ(tenant.state(), v1::TENANT_ACTIVE);
}

TEST(ValidateTest, ABadTenantNamesItsFields) {
  v1::Tenant good;
  good.set_display_name("Acme");
  ExpectBad(v1::Tenant(), "display_name");
  for (const char* zone : {"Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Asia", "a b"}) {
    v1::Tenant bad = good;
    bad.set_time_zone(zone);
    ExpectBad(bad, "time_zone");
  }
  v1::Tenant bad = good;
  bad.set_language("fr");
  ExpectBad(bad, "language");
  bad = good;
  bad.set_retention_days(-1);
  bad.set_flow_retention_days(4000);
  ExpectBad(bad, "retention_days");
  ExpectBad(bad, "flow_retention_days");
  bad = good;
  bad.set_state(static_cast<v1::TenantState>(77));
  ExpectBad(bad, "state");
  bad = good;
  bad.set_display_name(std::string(201, 'x'));
  ExpectBad(bad, "display_name");
  bad.set_display_name("a\x1b[31m");
  ExpectBad(bad, "display_name");
}

TEST(ValidateTest, AMailAddressCannotCarryAHeader) {
  v1::User user;
  user.set_name("tenants/acme/users/a");
  user.set_email(" Sato@Acme.Example ");
  ASSERT_THAT(Normalize(user), IsOk());
  EXPECT_EQ(user.email(), "sato@acme.example");
  for (const char* email : {"", "sato", "@x", "a@", "a@b@c", "a@b\r\nBcc: x@y", "a b@c", "<a@b>"}) {
    user.set_email(email);
    ExpectBad(user, "email");
  }
}

TEST(ValidateTest, ASourceCanBeToldByAClientCertificate) {
  const std::string digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
  const std::map<std::string, std::string> kept = {
      {"SHA256:" + ToUpper(digest), "sha256:" + digest},
      {"dns:FW1.example.com", "dns:fw1.example.com"},
      {"ip:2001:DB8::0:1", "ip:2001:db8::1"},
      {"cn:Branch firewall", "cn:Branch firewall"},
      {"uri:urn:X", "uri:urn:X"},
      {"email:Fw1@Example.com", "email:fw1@example.com"},
  };
  for (const auto& [told, canonical] : kept) {
    v1::Source source;
    source.set_name("tenants/acme/sources/a");
    source.mutable_match()->set_certificate(told);
    ASSERT_THAT(Normalize(source), IsOk()) << told;
    EXPECT_EQ(source.match().certificate(), canonical);
  }
  std::string colons = "sha256:";
  for (size_t i = 0; i < digest.size(); i += 2) colons += digest.substr(i, 2) + ":";
  colons.pop_back();
  v1::Source source;
  source.set_name("tenants/acme/sources/a");
  source.mutable_match()->set_certificate(colons);
  ASSERT_THAT(Normalize(source), IsOk());
  EXPECT_EQ(source.match().certificate(), "sha256:" + digest);
  for (const std::string bad :
       {"fw1", "sha256:12", "dns:", "dns:a b", "ip:fw1", "cn: fw1", "x:y"}) {
    source.mutable_match()->set_certificate(bad);
    ExpectBad(source, "match.certificate");
  }
}

TEST(ValidateTest, ASourceNeedsACriterion) {
  v1::Source source;
  source.set_name("tenants/acme/sources/a");
  ExpectBad(source, "match");
  source.mutable_match()->set_cidr("192.0.2.1");
  ASSERT_THAT(Normalize(source), IsOk());
  EXPECT_EQ(source.match().cidr(), "192.0.2.1/32");
  EXPECT_EQ(source.parser(), "auto");
  source.set_parser("no parser!");
  ExpectBad(source, "parser");
  source.set_parser("auto");
  source.set_charset("ebcdic");
  ExpectBad(source, "charset");
}

TEST(ValidateTest, NetworksOfASiteBecomeCanonical) {
  v1::Site site;
  site.set_display_name("Tokyo");
  site.add_networks("10.1.0.0/16");
  site.add_networks("2001:DB8::/32");
  ASSERT_THAT(Normalize(site), IsOk());
  EXPECT_EQ(site.networks(1), "2001:db8::/32");
  site.add_networks("10.1.0.1/16");
  ExpectBad(site, "networks[2]");
}

TEST(PasswordTest, IsLongEnoughAndNotTheName) {
  v1::User user;
  user.set_name("tenants/acme/users/administrator");
  user.set_email("sato@acme.example");
  EXPECT_THAT(CheckPassword("correct horse battery", user), IsOk());
  for (const std::string& bad : {std::string("short"), std::string(257, 'x'),
                                 std::string("Administrator"), std::string("SATO@acme.example")}) {
    EXPECT_THAT(CheckPassword(bad, user), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(PasswordTest, HashesAreArgon2idAndFitOnlyTheirPassword) {
  PasswordHasher hasher(1, 1u << 20);
  const auto hash = hasher.Hash("correct horse battery");
  ASSERT_THAT(hash, IsOk());
  EXPECT_TRUE(hash->starts_with("$argon2id$"));
  EXPECT_TRUE(hasher.Verify(*hash, "correct horse battery"));
  EXPECT_FALSE(hasher.Verify(*hash, "correct horse batterx"));
  EXPECT_FALSE(hasher.Verify("", ""));
  EXPECT_FALSE(hasher.Verify("$argon2id$nonsense", "x"));
  EXPECT_FALSE(hasher.VerifyNothing("x"));
  EXPECT_NE(*hasher.Hash("correct horse battery"), *hash) << "salted";
}

TEST(KeySecretTest, TellsWhoseItIs) {
  const std::string secret = NewKeySecret("acme", "push-1");
  const auto parsed = ParseKeySecret(secret);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->tenant, "acme");
  EXPECT_EQ(parsed->key, "push-1");
  EXPECT_NE(secret, NewKeySecret("acme", "push-1"));
  EXPECT_TRUE(SameHash(HashKeySecret(secret), HashKeySecret(secret)));
  EXPECT_FALSE(SameHash(HashKeySecret(secret), HashKeySecret(secret + "0")));
  for (const std::string& bad :
       {std::string(), std::string("ygr_a_b"), "x" + secret, secret + "0",
        std::string("ygr_A_b_00"), secret.substr(0, secret.size() - 1) + "g"}) {
    EXPECT_THAT(ParseKeySecret(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

}  // namespace
}  // namespace yagura::directory
