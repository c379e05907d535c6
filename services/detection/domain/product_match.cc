#include "services/detection/domain/product_match.h"

#include <algorithm>

#include "common/text/text.h"

namespace yagura::detection {
namespace {

constexpr size_t kMaxText = 512;
constexpr size_t kMaxWords = 24;

bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Said of products without saying which.
bool SaysNothing(const std::string& word) {
  return word == "multiple" || word == "products" || word == "product" || word == "various" ||
         word == "any" || word == "devices";
}

bool BeginsLike(const Words& longer, const Words& shorter) {
  return !shorter.empty() && shorter.size() <= longer.size() &&
         std::equal(shorter.begin(), shorter.end(), longer.begin());
}

// `words` one after the other somewhere in `text`.
bool Contains(const Words& text, const Words& words) {
  return !words.empty() &&
         std::search(text.begin(), text.end(), words.begin(), words.end()) != text.end();
}

// The vendor's names overlap: "palo alto networks" and "paloaltonetworks", "fortinet" and
// "fortinet".
bool SameVendor(const Words& a, const Words& b) {
  return !a.empty() && (BeginsLike(a, b) || BeginsLike(b, a) || Join(a, "") == Join(b, ""));
}

}  // namespace

Words WordsOf(std::string_view text) {
  Words words;
  std::string word;
  const auto finish = [&] {
    // "log4j2" is "log4j"; what is a number alone says nothing.
    while (!word.empty() && IsDigit(word.back())) word.pop_back();
    if (!word.empty() && words.size() < kMaxWords) words.push_back(word);
    word.clear();
  };
  for (const char c : ToLower(text.substr(0, kMaxText))) {
    if (IsLetter(c) || IsDigit(c) || static_cast<unsigned char>(c) >= 0x80) {
      word += c;
    } else {
      finish();
    }
  }
  finish();
  return words;
}

Product ParseProduct(std::string_view text) {
  text = Trim(text.substr(0, kMaxText));
  std::vector<std::string_view> parts = Split(text, ':');
  if (text.starts_with("cpe:2.3:")) {
    parts.erase(parts.begin(), parts.begin() + std::min<size_t>(3, parts.size()));
  }
  Product product;
  if (parts.size() == 1) {
    product.name = WordsOf(parts[0]);
    product.shown = std::string(parts[0]);
    return product;
  }
  if (parts.empty()) return product;
  product.vendor = WordsOf(parts[0]);
  product.name = WordsOf(parts[1]);
  product.shown = std::string(parts[0]) + ":" + std::string(parts[1]);
  const bool has_version = parts.size() > 2 && !parts[2].empty() && parts[2] != "*";
  if (has_version && parts[2] != "-") product.shown += ":" + std::string(parts[2]);
  return product;
}

Likeness MatchCatalogue(const Product& product, std::string_view vendor,
                        std::string_view products) {
  const Words vendor_words = WordsOf(vendor);
  const bool vendor_known = !product.vendor.empty();
  if (vendor_known && !SameVendor(product.vendor, vendor_words)) return Likeness::kNone;
  Likeness best = Likeness::kMaybe;
  std::string list(products);
  for (size_t at = list.find(" and "); at != std::string::npos; at = list.find(" and ")) {
    list.replace(at, 5, ",");
  }
  std::replace(list.begin(), list.end(), '/', ',');
  for (const auto one : Split(list, ',')) {
    Words words = WordsOf(one);
    std::erase_if(words, SaysNothing);
    if (words.empty()) {
      // "Multiple Products": any of the vendor.
      if (vendor_known) best = std::max(best, Likeness::kAlike);
      continue;
    }
    if (vendor_known && words == product.name) return Likeness::kSame;
    const Words whole = WordsOf(std::string(vendor) + " " + std::string(one));
    if (BeginsLike(words, product.name) || BeginsLike(product.name, words) ||
        (!vendor_known && Contains(product.name, whole))) {
      best = std::max(best, Likeness::kAlike);
    }
  }
  return best;
}

Likeness MatchSignature(const Product& product, std::string_view signature) {
  const Words words = WordsOf(signature);
  if (!Contains(words, product.name)) return Likeness::kNone;
  if (!product.vendor.empty() && Contains(words, product.vendor)) return Likeness::kSame;
  // A short word alone ("ios", "http") is no product's name in a signature.
  return Join(product.name, "").size() >= 5 ? Likeness::kAlike : Likeness::kNone;
}

}  // namespace yagura::detection
