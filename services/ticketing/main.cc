#include "common/rpc/run_service.h"
#include "services/ticketing/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(argc, argv, "ticketing", yagura::ticketing::ReadSettings,
                                 yagura::ticketing::NewApp);
}
