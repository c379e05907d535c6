#include "services/detection/domain/tags.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Tags, NameTacticsTechniquesAndVulnerabilities) {
  EXPECT_EQ(TechniqueOf("attack.t1110"), "T1110");
  EXPECT_EQ(TechniqueOf("attack.t1110.001"), "T1110.001");
  for (const char* other : {"attack.t111", "attack.t11100", "attack.t1110.", "attack.t1110.01",
                            "attack.g0007", "t1110", "attack.t1110.0011", ""}) {
    EXPECT_EQ(TechniqueOf(other), "") << other;
  }
  EXPECT_EQ(TacticOf("attack.initial-access"), "initial-access");
  EXPECT_EQ(TacticOf("attack.initial_access"), "initial-access");
  EXPECT_EQ(TacticOf("attack.s0002"), "");
  EXPECT_EQ(TacticOf("detection.emerging-threats"), "");
  EXPECT_EQ(CveOf("cve.2021-44228"), "CVE-2021-44228");
  EXPECT_EQ(CveOf("cve.2021.44228"), "CVE-2021-44228");
  EXPECT_EQ(CveOf("cve.2021"), "");
  EXPECT_EQ(CveOf("attack.t1190"), "");
}

TEST(Tags, VulnerabilitiesAreFoundInTexts) {
  EXPECT_THAT(CvesIn("ET EXPLOIT log4j (CVE-2021-44228), cve_2021_45046 and CVE-2021-44228 again"),
              ElementsAre("CVE-2021-44228", "CVE-2021-45046"));
  EXPECT_THAT(CvesIn("Apache.CVE.2014.6271"), ElementsAre("CVE-2014-6271"));
  for (const char* none : {"", "CVE", "CVE-", "CVE-20", "CVE-2021-", "CVE-2021-123", "receive 2021",
                           "CVE-2021-12345678901"}) {
    EXPECT_THAT(CvesIn(none), IsEmpty()) << none;
  }
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "CVE-2021-" + std::to_string(10000 + i) + " ";
  EXPECT_THAT(CvesIn(many), SizeIs(8));
}

TEST(Tags, AreToldInTheFinding) {
  v1::Finding finding;
  for (const char* tag : {"attack.initial-access", "attack.t1190", "attack.t1190", "cve.2021-44228",
                          "detection.emerging-threats"}) {
    finding.add_tags(tag);
  }
  AddTagFacts(finding);
  EXPECT_THAT(finding.attack_tactics(), ElementsAre("initial-access"));
  EXPECT_THAT(finding.attack_techniques(), ElementsAre("T1190"));
  ASSERT_THAT(finding.entities(), SizeIs(1));
  EXPECT_EQ(finding.entities(0).type(), v1::VULNERABILITY);
  EXPECT_EQ(finding.entities(0).value(), "CVE-2021-44228");
}

}  // namespace
}  // namespace yagura::detection
