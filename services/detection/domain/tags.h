#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "yagura/detection/v1/finding.pb.h"

// What the tags of Sigma rules say ("attack.t1110.001", "cve.2021-44228"), and CVE ids in other
// texts.
namespace yagura::detection {

// CVE ids in a text, "CVE-2021-44228", each once, at most 8: as they are written officially, in any
// case, with underscores (Suricata's metadata).
std::vector<std::string> CvesIn(std::string_view text);

// What a tag names, in its official form: a technique "T1110.001", a CVE "CVE-2021-44228"; empty
// where it names none. Of tactics the short name: "initial-access".
std::string TechniqueOf(std::string_view tag);
std::string TacticOf(std::string_view tag);
std::string CveOf(std::string_view tag);

// Fills what follows from the finding's tags: tactics, techniques, and an entity for each CVE.
void AddTagFacts(v1::Finding& finding);

}  // namespace yagura::detection
