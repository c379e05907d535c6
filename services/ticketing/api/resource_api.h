#pragma once

#include "common/rpc/standard_methods.h"
#include "common/status/status.h"

// What every handler does alike.
namespace yagura::ticketing {

using rpc::CheckEtag;
using rpc::ListPage;
using rpc::ScopeOf;

}  // namespace yagura::ticketing
