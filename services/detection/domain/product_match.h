#pragma once

#include <string>
#include <string_view>
#include <vector>

// Whether two names of products mean the same. Inventories, catalogues and signatures all write
// them in their own way ("cpe:2.3:a:apache:log4j:2.14.1:*", "apache:log4j", "Apache Log4j2",
// "Apache.Log4j.Error.Log.Remote.Code.Execution"), so this is a judgement by words.
namespace yagura::detection {

// Words in lower case without digits at their ends: "Exchange Server 2019" is {exchange, server}.
using Words = std::vector<std::string>;
Words WordsOf(std::string_view text);

struct Product {
  Words vendor;
  Words name;
  std::string shown;  // "apache:log4j:2.14.1"
};
// From CPE 2.3 or "vendor:product:version"; a text without a colon is a name without a vendor.
Product ParseProduct(std::string_view text);

enum class Likeness {
  kNone,
  kMaybe,  // another name of the same vendor, or the vendor is not told: nothing is excluded
  kAlike,  // one name begins like the other, or the vendor is not told
  kSame,   // vendor and name are the same words
};
// What a catalogue says: `products` may list several ("FortiOS, FortiProxy") or say "Multiple
// Products", which is any of the vendor.
Likeness MatchCatalogue(const Product& product, std::string_view vendor, std::string_view products);
// Whether a signature's name or metadata names the product.
Likeness MatchSignature(const Product& product, std::string_view signature);

}  // namespace yagura::detection
